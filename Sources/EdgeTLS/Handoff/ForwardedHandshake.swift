import Channels
import KeyProtocol
import NIOCore
import PeerLink
import RecordLayer
import TLSWire

/// The edge's side of one handshake that a key holder runs: which of the client's bytes the key holder is to hear, what
/// goes to the client, and when the session is the edge's. Pure: bytes and answers in, steps out.
///
/// Until the session is exported only records of types 20, 21 and 22 go to the key holder, flight by flight; what the
/// client sends beyond that (early data, data that it sends ahead) waits, in order, for the session. In TLS 1.3 the
/// client's Finished is checked here, and nothing is left to do at the key holder.
///
/// - **Our bug**: an answer, or a failure, when no request is under way. Dropped.
/// - **The peer's violation**: every case of ``TerminationFailure``; those of the client end in its alert, those of the key
///   holder in internal_error, in the clear as long as nothing was protected before.
/// - **Silently dropped**: refused early data up to its bound, whatever comes after the end.
///
/// It can't be copied, since it holds the session.
struct ForwardedHandshake: ~Copyable {
    /// What to do now: first write, then go on.
    struct Step: Equatable {
        var write: ByteBuffer?
        var next: Next
    }

    enum Next: Equatable {
        /// Nothing until the key holder answers: do not read on.
        case wait
        /// Read from the client.
        case read
        /// Ask the key holder to begin, with exactly the records of the ClientHello.
        case begin(ByteBuffer)
        /// Ask the key holder to go on.
        case proceed(ByteBuffer)
        /// Take the session with ``takeSession()``.
        case established(Established)
        /// Close when what there is to write is written. If `informs`, the key holder is to forget the handshake.
        case failed(TerminationFailure, informs: Bool)
    }

    struct Established: Equatable {
        /// NewSessionTicket messages in the clear; TLS 1.3 only.
        var tickets: ByteBuffer
        /// What came after the handshake already, for the session.
        var received: ByteBuffer
    }

    private enum State {
        case starting
        /// begin or continue is under way.
        case asking
        case gathering(ClientFlight)
        /// TLS 1.3: the session is here, and the Finished is still to come.
        case awaitingFinished
        case over
    }

    private let protocols: [String]
    private let earlyDataOffered: Bool
    private let offersProtocols: Bool
    private let needsForwardSecrecy: Bool
    private let isAuthorityCheck: Bool
    private var state = State.starting
    /// What the client sent and the handshake has not taken yet.
    private var input = ByteBuffer()
    private var retried = false
    /// What the client answers to the last ServerHello.
    private var answer = ClientFlight.Kind.hello
    private var turns = 0
    /// Bytes that the key holder was sent.
    private var sent = 0
    /// TLS 1.2: the client's ChangeCipherSpec went to the key holder.
    private var clientChangedCipher = false
    /// Whether what the server sends next is protected by keys that are not here.
    private var isProtected = false
    private var isKnownToKeyHolder = false
    private var session: RecordSession?
    private var tickets = ByteBuffer()

    /// - Parameters:
    ///   - protocols: what the edge can serve (ALPN), preferred first.
    ///   - earlyDataOffered: whether the ClientHello offered early data.
    ///   - offersProtocols: whether the ClientHello has the extension for ALPN; then a session without a protocol is none.
    ///   - needsForwardSecrecy: whether a key exchange by RSA is refused.
    ///   - isAuthorityCheck: whether it is an authority's check of the name (RFC 8737): no session comes of it.
    init(
        protocols: [String], earlyDataOffered: Bool, offersProtocols: Bool = false, needsForwardSecrecy: Bool = false,
        isAuthorityCheck: Bool = false
    ) {
        self.protocols = protocols
        self.earlyDataOffered = earlyDataOffered
        self.offersProtocols = offersProtocols
        self.needsForwardSecrecy = needsForwardSecrecy
        self.isAuthorityCheck = isAuthorityCheck
    }

    /// Whether it still waits for something.
    var isOver: Bool {
        if case .over = self.state { true } else { false }
    }

    // MARK: The client

    /// Begins with what the client has sent so far: a whole ClientHello, and maybe more.
    mutating func start(_ received: ByteBuffer) -> Step {
        guard case .starting = self.state else { return Step(next: .wait) }
        self.input = received
        var flight = ClientFlight(.hello)
        switch flight.gather(&self.input) {
        case .complete(let hello):
            guard hello.readableBytes <= HandoffLimits.flightBytes else {
                return self.fail(.flightTooLarge(hello.readableBytes))
            }
            self.state = .asking
            self.sent = hello.readableBytes
            return Step(next: .begin(hello))
        // It was read to its end already.
        case .needsMore: return self.fail(.unexpectedRecord(ContentType.handshake.rawValue))
        case .failed(let failure): return self.fail(failure)
        }
    }

    /// Takes bytes from the client, in any split.
    mutating func received(_ bytes: ByteBuffer) -> Step {
        if case .over = self.state { return Step(next: .wait) }
        if self.input.readableBytes == 0 {
            self.input = bytes
        } else {
            self.input.writeImmutableBuffer(bytes)
        }
        switch self.state {
        case .starting, .asking:
            guard self.input.readableBytes <= HeldInput.maximumBytes else {
                return self.fail(.flightTooLarge(self.input.readableBytes))
            }
            return Step(next: .wait)
        case .gathering, .awaitingFinished: return self.advance()
        case .over: return Step(next: .wait)
        }
    }

    /// The client is gone, or took too long.
    ///
    /// - Returns: whether the key holder is to forget the handshake.
    mutating func abandon() -> Bool {
        if case .over = self.state { return false }
        self.end()
        return self.isKnownToKeyHolder
    }

    // MARK: The key holder

    /// The answer to begin or continue.
    mutating func answered(_ progress: HandshakeProgress) -> Step {
        guard case .asking = self.state else { return Step(next: .wait) }
        let write: ByteBuffer? = progress.serverBytes.readableBytes > 0 ? progress.serverBytes : nil
        switch progress.state {
        case .failed(let reason):
            self.end()
            return Step(write: write, next: .failed(.refused(reason), informs: false))
        case .needsMore:
            self.isKnownToKeyHolder = true
            return self.needsMore(write)
        case .exported(let bytes, let tickets):
            self.isKnownToKeyHolder = false
            let session: ExportedSession
            do { session = try ExportedSession(decoding: bytes) } catch {
                return self.fail(.badAnswer("exported session: \(error)"))
            }
            if let failure = self.judge(session, tickets) { return self.fail(failure) }
            self.session = RecordSession(session, earlyDataOffered: self.earlyDataOffered && !self.retried)
            guard session.suite.version == .tls13 else { return Step(write: write, next: self.established()) }
            // A copy, since what was read from the key holder at once is not to be kept for it.
            if tickets.readableBytes > 0 { self.tickets = ByteBuffer(bytes: tickets.readableBytesView) }
            self.state = .awaitingFinished
            var step = self.advance()
            step.write = Self.joined(write, step.write)
            return step
        }
    }

    /// begin or continue got no answer.
    mutating func keyHolderFailed(_ failure: LinkFailure) -> Step {
        guard case .asking = self.state else { return Step(next: .wait) }
        switch failure {
        case .refused, .lost, .notConnected: self.isKnownToKeyHolder = false
        default: break
        }
        if self.isAuthorityCheck, case .refused(.certificateNotFound) = failure { return self.fail(.noOrder) }
        return self.fail(.keyHolder(failure))
    }

    /// The key holder may not be asked to go on.
    mutating func turnedAway(_ refusal: HandshakeGate.Refusal) -> Step {
        guard case .asking = self.state else { return Step(next: .wait) }
        return self.fail(.turnedAway(refusal))
    }

    private mutating func needsMore(_ write: ByteBuffer?) -> Step {
        if let write {
            guard let flight = ServerFlight(write, earlyDataOffered: self.earlyDataOffered && !self.retried) else {
                return self.fail(.badAnswer("neither a HelloRetryRequest nor TLS 1.2"))
            }
            if self.needsForwardSecrecy, !flight.hasForwardSecrecy { return self.fail(.noForwardSecrecy) }
            if case .secondHello = flight.answer {
                guard !self.retried else { return self.fail(.badAnswer("a second HelloRetryRequest")) }
                self.retried = true
            }
            self.answer = flight.answer
            self.isProtected = flight.isProtected
        } else if self.answer == .hello {
            return self.fail(.badAnswer("a handshake that needs more after a whole ClientHello, and sends nothing"))
        }
        self.state = .gathering(ClientFlight(self.answer, changedCipher: self.clientChangedCipher))
        var step = self.advance()
        step.write = Self.joined(write, step.write)
        return step
    }

    /// What ``ExportedSession`` cannot know to be wrong.
    private func judge(_ session: ExportedSession, _ tickets: ByteBuffer) -> TerminationFailure? {
        guard !self.isAuthorityCheck else { return .badAnswer("a session for an authority's check") }
        switch session.secrets {
        case .tls13(_, _, nil): return .badAnswer("a TLS 1.3 session without its client's Finished")
        case .tls13: break
        case .tls12:
            guard tickets.readableBytes == 0 else { return .badAnswer("tickets beside a TLS 1.2 session") }
        }
        if let name = session.applicationProtocol {
            guard self.protocols.contains(where: { $0.utf8.elementsEqual(name) }) else {
                return .badAnswer("an application protocol that was not offered")
            }
        } else if self.offersProtocols {
            return .badAnswer("no application protocol, for a client that offers some")
        }
        return nil
    }

    // MARK: Going on

    private mutating func advance() -> Step {
        switch self.state {
        case .gathering(var flight):
            let progress = flight.gather(&self.input)
            switch progress {
            case .needsMore:
                self.state = .gathering(flight)
                return Step(next: .read)
            case .failed(let failure):
                return self.fail(failure)
            case .complete(let bytes):
                self.turns += 1
                guard self.turns <= HandoffLimits.turns else { return self.fail(.tooManyTurns) }
                self.sent += bytes.readableBytes
                guard self.sent <= HandoffLimits.handshakeBytes else { return self.fail(.flightTooLarge(self.sent)) }
                self.clientChangedCipher = flight.changedCipher
                self.state = .asking
                return Step(next: .proceed(bytes))
            }
        case .awaitingFinished: return self.awaitFinished()
        case .starting, .asking, .over: return Step(next: .wait)
        }
    }

    private mutating func awaitFinished() -> Step {
        while let reception = self.session?.receiveRecord(from: &self.input) {
            if reception.handshakeCompleted { return Step(next: self.established()) }
            if let failure = reception.failure { return self.fail(failure, alert: reception.reply) }
        }
        return Step(next: .read)
    }

    private mutating func established() -> Next {
        let established = Established(tickets: self.tickets, received: self.input)
        self.state = .over
        self.input = ByteBuffer()
        self.tickets = ByteBuffer()
        return .established(established)
    }

    /// The session, once it is established; nil before, and when called again.
    mutating func takeSession() -> RecordSession? {
        guard case .over = self.state else { return nil }
        return self.session.take()
    }

    // MARK: Ends

    /// - Parameter alert: what tells the client, if it is made already.
    private mutating func fail(_ failure: TerminationFailure, alert: ByteBuffer? = nil) -> Step {
        var write: ByteBuffer? = alert
        if write == nil, let description = failure.alert {
            if self.session != nil {
                write = self.session?.abort(description)
            } else if !self.isProtected {
                write = Alert(description).record()
            }
        }
        self.end()
        return Step(write: write, next: .failed(failure, informs: self.isKnownToKeyHolder))
    }

    private mutating func end() {
        self.state = .over
        self.input = ByteBuffer()
        self.tickets = ByteBuffer()
        self.session = nil
    }

    private static func joined(_ first: ByteBuffer?, _ second: ByteBuffer?) -> ByteBuffer? {
        guard var first else { return second }
        guard let second else { return first }
        first.writeImmutableBuffer(second)
        return first
    }
}
