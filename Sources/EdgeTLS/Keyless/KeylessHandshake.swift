import Channels
import KeyProtocol
import NIOCore
import RecordLayer
import TLSEngine
import TLSWire

/// The edge's side of one handshake in `keyless` mode: the TLS engine runs it here, and asks for one signature. Pure: bytes and
/// answers in, steps out.
///
/// - **Our bug**: a signature, or its failure, when none was asked for. Dropped, as a second answer of a key holder would be.
/// - **The peer's violation**: the client's end in the alert that the engine names; the key holder's in
///   `internal_error`, behind the ServerHello that was held back.
/// - **Silently dropped**: refused early data up to its bound, whatever comes after the end.
///
/// It can't be copied, since it holds the session.
struct KeylessHandshake: ~Copyable {
    /// What to do now: first write, then go on.
    struct Step: Equatable {
        var write: ByteBuffer?
        var next: Next
    }

    enum Next: Equatable {
        /// Nothing until the signature is there: do not read on.
        case wait
        /// Read from the client.
        case read
        /// Ask the key holder for this signature.
        case sign(SignTLS13Request, ski: [UInt8])
        /// Take the session with ``takeSession()``.
        case established(Established)
        /// Close when what there is to write is written.
        case failed(TerminationFailure)
    }

    struct Established: Equatable {
        /// NewSessionTicket messages in the clear.
        var tickets: ByteBuffer
        /// What came after the handshake already, for the session.
        var received: ByteBuffer
    }

    private enum State: ~Copyable {
        case handshake(ServerHandshake)
        case signing(AwaitedSignature)
        /// The session is here, and the Finished is still to come.
        case awaitingFinished(AwaitedFinished)
        case over
    }

    private var certificate: SiteCertificate
    private var state: State
    /// What the client sent and the handshake has not taken yet.
    private var input = ByteBuffer()
    /// What the engine was given so far, for as long as the handshake can be begun anew: the client has been sent nothing.
    private var hello: ByteBuffer?
    private var timesStartedOver = 0
    /// How often a handshake begins anew at most. Keys may be replaced faster than a busy machine gets to its handshakes.
    static let maximumStartsOver = 4
    private var isFirst = true
    private var session: RecordSession?
    /// What was chosen for it.
    private(set) var facts: HandshakeFacts?
    /// What the client was shown, to be verified if it does not take it.
    private var signed: (request: SignatureRequest, signature: [UInt8])?

    /// - Throws: if there is no memory.
    init(_ certificate: SiteCertificate) throws(EngineError) {
        self.certificate = certificate
        self.state = .handshake(try ServerHandshake(certificate.context))
    }

    /// Whether it still waits for something.
    var isOver: Bool {
        switch self.state {
        case .over: true
        default: false
        }
    }

    // MARK: The client

    /// Takes bytes from the client, in any split.
    mutating func received(_ bytes: ByteBuffer) -> Step {
        if self.isOver { return Step(next: .wait) }
        if self.input.readableBytes == 0 {
            self.input = bytes
        } else {
            self.input.writeImmutableBuffer(bytes)
        }
        switch self.takeState() {
        case .handshake(let handshake): return self.hears(handshake)
        case .signing(let awaited):
            guard self.input.readableBytes <= HeldInput.maximumBytes else {
                return self.fail(
                    .flightTooLarge(self.input.readableBytes), sending: awaited.abort(.decodeError))
            }
            self.state = .signing(awaited)
            return Step(next: .wait)
        case .awaitingFinished(let finished):
            self.state = .awaitingFinished(finished)
            return self.awaitFinished()
        case .over: return Step(next: .wait)
        }
    }

    /// The client is gone, or took too long.
    mutating func abandon() { self.end() }

    // MARK: The key holder

    /// The answer to ``Next/sign(_:ski:)``.
    mutating func signed(_ signature: [UInt8]) -> Step {
        switch self.takeState() {
        case .signing(let awaited):
            self.hello = nil
            self.signed = (awaited.request, signature)
            return self.act(on: awaited.complete(signature))
        case let other:
            self.state = other
            return Step(next: .wait)
        }
    }

    /// There will be no signature.
    mutating func notSigned(_ failure: TerminationFailure) -> Step {
        switch self.takeState() {
        case .signing(let awaited): return self.fail(failure, sending: awaited.abort())
        case let other:
            self.state = other
            return Step(next: .wait)
        }
    }

    /// Whether ``startOver(with:)`` may mend it.
    var mayStartOver: Bool { self.hello != nil && self.timesStartedOver < Self.maximumStartsOver }

    /// The key holder does not sign for the certificate any more, and this is what it has by now: the same one, at another address, or
    /// another one. The handshake begins anew with the hello that the client sent; the client notices nothing. It does so
    /// ``maximumStartsOver`` times, as long as there is another certificate each time.
    mutating func startOver(with certificate: SiteCertificate) -> Step {
        switch self.takeState() {
        case .signing(let awaited):
            guard self.mayStartOver, var hello = self.hello else {
                return self.fail(.engine("it may not begin anew"), sending: awaited.abort())
            }
            self.timesStartedOver += 1
            if certificate.context === self.certificate.context { return self.ask(for: awaited) }
            let handshake: ServerHandshake
            do throws(EngineError) {
                handshake = try ServerHandshake(certificate.context)
            } catch {
                return self.fail(.engine("\(error)"), sending: awaited.abort())
            }
            self.certificate = certificate
            hello.writeImmutableBuffer(self.input)
            self.input = hello
            self.hello = nil
            self.isFirst = true
            return self.hears(handshake)
        case let other:
            self.state = other
            return Step(next: .wait)
        }
    }

    // MARK: The engine

    /// The first bytes are a whole ClientHello.
    private mutating func hears(_ handshake: consuming ServerHandshake) -> Step {
        guard self.isFirst else { return self.act(on: handshake.receive(&self.input)) }
        self.isFirst = false
        let before = self.input
        let step = self.act(on: handshake.receive(&self.input))
        if case .sign = step.next {
            self.hello = before.getSlice(
                at: before.readerIndex, length: before.readableBytes - self.input.readableBytes)
        }
        return step
    }

    private mutating func act(on turn: consuming HandshakeTurn) -> Step {
        switch consume turn {
        case .needsInput(let handshake, let output):
            self.state = .handshake(handshake)
            return self.readOn(sending: output)
        case .needsSignature(let awaited): return self.ask(for: awaited)
        case .exported(let session, let finished, let output):
            self.session = RecordSession(session.session)
            self.facts = session.facts
            guard let finished else { return self.fail(.engine("a session of another version than TLS 1.3")) }
            self.state = .awaitingFinished(finished)
            var step = self.awaitFinished()
            step.write = Self.joined(output, step.write)
            return step
        case .failed(let end):
            return self.fail(TerminationFailure(end.failure), sending: end.output)
        }
    }

    private mutating func ask(for awaited: consuming AwaitedSignature) -> Step {
        let request = awaited.request
        guard let hash = TLS13ServerSignature.transcriptHash(fromContent: request.content) else {
            return self.fail(
                .engine("a signature over something that is no TLS 1.3 server's handshake"), sending: awaited.abort())
        }
        self.state = .signing(awaited)
        return Step(
            next: .sign(
                SignTLS13Request(scheme: request.scheme, transcriptHash: hash),
                ski: self.certificate.chains[request.credential].ski))
    }

    /// The engine verifies it, and makes the tickets. What it would say after the export does not leave; the session says it.
    private mutating func awaitFinished() -> Step {
        guard case .awaitingFinished(let finished) = self.takeState() else { return Step(next: .wait) }
        switch finished.receive(&self.input) {
        case .needsInput(let finished):
            self.state = .awaitingFinished(finished)
            return self.readOn()
        case .completed(let tickets):
            return self.established(tickets)
        case .failed(let failure, let alert):
            let reason = TerminationFailure(failure)
            return self.fail(
                self.meaning(of: reason) ?? reason, sending: alert.flatMap { self.session?.abort($0) })
        }
    }

    private mutating func readOn(sending output: ByteBuffer = ByteBuffer()) -> Step {
        // What the client's bytes came in is not kept for nothing.
        if self.input.readableBytes == 0 { self.input = ByteBuffer() }
        return Step(write: Self.nonempty(output), next: .read)
    }

    /// What an alert in place of the Finished means: a client that says `decrypt_error` may have been shown the signature of another key.
    private func meaning(of failure: TerminationFailure) -> TerminationFailure? {
        if case .alert(Alert.Description.closeNotify.rawValue) = failure { return .closedEarly }
        guard case .alert(Alert.Description.decryptError.rawValue) = failure, let signed,
            !self.certificate.context.verifies(signed.signature, for: signed.request)
        else { return nil }
        return .wrongSignature
    }

    private mutating func established(_ tickets: ByteBuffer) -> Step {
        var received = ByteBuffer()
        swap(&received, &self.input)
        self.state = .over
        self.signed = nil
        return Step(next: .established(Established(tickets: tickets, received: received)))
    }

    /// The session, once it is established; nil before, and when called again.
    mutating func takeSession() -> RecordSession? {
        guard self.isOver else { return nil }
        return self.session.take()
    }

    // MARK: Ends

    /// - Parameter output: what tells the client; nil: to be made here.
    private mutating func fail(_ failure: TerminationFailure, sending output: ByteBuffer? = nil) -> Step {
        let write = output ?? failure.alert.flatMap { self.session?.abort($0) }
        self.end()
        return Step(write: write.flatMap(Self.nonempty), next: .failed(failure))
    }

    private mutating func end() {
        self.state = .over
        self.input = ByteBuffer()
        self.session = nil
        self.signed = nil
        self.hello = nil
    }

    private mutating func takeState() -> State {
        var taken = State.over
        swap(&taken, &self.state)
        return taken
    }

    private static func nonempty(_ bytes: ByteBuffer) -> ByteBuffer? { bytes.readableBytes > 0 ? bytes : nil }

    private static func joined(_ first: ByteBuffer, _ second: ByteBuffer?) -> ByteBuffer? {
        guard let second else { return Self.nonempty(first) }
        var joined = first
        joined.writeImmutableBuffer(second)
        return joined
    }
}
