import NIOCore
import NIOSSL
import RecordLayer
import TLSWire

/// One TLS handshake with a client that an edge carries the bytes of. The TLS library runs it, in a channel of its own.
///
/// Lives on the event loop of the edge's connection, and is turned by it: ``begin(_:_:)``, any number of
/// ``proceed(_:_:)``, ``finish(_:)`` in TLS 1.3, and in any case ``end()``. Who calls in another order is wrong: that is
/// what ``HandshakeDesk`` sees to. The client's violations come back as ``Turn/failed(_:_:)``.
final class HandoffHandshake: HandshakeKeyUser {
    /// What a turn came to. The bytes are for the client.
    enum Turn {
        case needsMore(ByteBuffer)
        case exported(SessionExport, expectsFinish: Bool, ByteBuffer)
        /// An authority's check has been answered (RFC 8737): the handshake is done, and nothing comes of it.
        case answered(ByteBuffer)
        case failed(HandoffFailure, ByteBuffer)
    }

    /// Has a key operation done that takes long, and calls back on the event loop, unless it is refused.
    typealias SlowKey = (KeyOperation, @escaping (SlowOutcome) -> Void) -> WorkRefusal?

    private enum KeyUse {
        case none
        /// Under way somewhere else.
        case waiting
        /// Done; the library goes on in the next task of the event loop.
        case answered
    }

    let clientRandom: ClientRandom
    private let context: HandoffContext
    /// Of the key log; kept until ``end()``.
    private let reservation: KeyLog.Reservation
    private let key: any StoredKey
    private let slowKey: SlowKey
    private let channel: VirtualChannel
    private let tls: NIOSSLServerHandler
    private let observer = HandshakeObserver()
    private var transcript = HandshakeTranscript()
    private var transcriptError: HandshakeTranscriptError?
    private var turns = ClientRecords.Turns()
    private var keyUse: KeyUse = .none
    /// The site's key was asked for, and may have been used.
    private(set) var hasUsedKey: Bool = false
    /// TLS 1.2: the server took up a session of before, as its ChangeCipherSpec in the first flight tells.
    private var resumed: Bool = false
    private var turn: ((Turn) -> Void)?
    /// Of the session that was exported, until finish.
    private var tickets: TicketReader?
    private var exportedProtocol: [UInt8]?
    private var hasEnded: Bool = false

    /// - Parameter reservation: Of the random in the context's key log. ``end()`` gives it up.
    /// - Throws: if the TLS library cannot make a connection; then the reservation is still the caller's.
    init(
        _ random: ClientRandom, _ reservation: KeyLog.Reservation, context: HandoffContext, key: any StoredKey,
        parent: any Channel,
        slowKey: @escaping SlowKey
    ) throws {
        self.clientRandom = random
        self.reservation = reservation
        self.context = context
        self.key = key
        self.slowKey = slowKey
        self.tls = NIOSSLServerHandler(context: context.tls)
        self.channel = VirtualChannel(parent: parent)
        do {
            try self.channel.pipeline.syncOperations.addHandlers(self.tls, self.observer)
        } catch {
            self.channel.end()
            throw error
        }
        self.channel.keyUser = self
    }

    /// What the server has chosen so far, for audit lines.
    var chosen: (version: UInt16, cipherSuite: UInt16)? {
        self.transcript.serverHello.map { ($0.version, $0.cipherSuite) }
    }

    // MARK: Turns

    /// The ClientHello. `done` is called once, not before this returns unless the handshake failed at once, and not at all
    /// after ``end()``.
    func begin(_ bytes: ByteBuffer, _ done: @escaping (Turn) -> Void) {
        self.channel.activate()
        self.proceed(bytes, done)
    }

    /// Whether these may be the client's next bytes; asked once before ``proceed(_:_:)``.
    func check(_ bytes: ByteBuffer) throws(ClientRecordsError) {
        let isTLS12: Bool = self.transcript.serverHello.map { $0.version != TLSVersion.tls13 } ?? false
        try self.turns.check(bytes, isTLS12: isTLS12)
    }

    /// The client's next bytes.
    func proceed(_ bytes: ByteBuffer, _ done: @escaping (Turn) -> Void) {
        self.turn = done
        do throws(HandshakeTranscriptError) {
            try self.transcript.receive(bytes)
        } catch {
            // The library judges the client's bytes first. What it takes and we don't, we could not export.
            self.transcriptError = self.transcriptError ?? error
        }
        self.channel.receive(bytes)
        self.step()
    }

    /// The alert for a client whose bytes are not given to the library. ``end()`` must follow.
    func reject(_ alert: Alert.Description) -> ByteBuffer {
        // Only the first flight of a resumed TLS 1.2 handshake has changed the server's cipher, of all that waits for more.
        guard self.transcript.serverHello != nil, self.resumed else { return Alert(alert).record() }
        // Alerts are protected by now. The library makes one when it gets what never belongs here.
        self.channel.receive(ByteBuffer(bytes: [ContentType.applicationData.rawValue, 3, 3, 0, 1, 0]))
        return self.channel.takeOutbound()
    }

    /// Looks at what the library did, once it waits for nothing but the client.
    private func step() {
        guard self.turn != nil else { return }
        switch self.keyUse {
        case .waiting: return
        case .answered:
            self.keyUse = .none
            // Behind the task in which the library takes the result.
            self.channel.eventLoop.assumeIsolated().execute { self.step() }
        case .none:
            self.conclude(self.result(self.channel.takeOutbound()))
        }
    }

    private func conclude(_ turn: Turn) {
        let done: ((Turn) -> Void)? = self.turn
        self.turn = nil
        done?(turn)
    }

    private func result(_ bytes: ByteBuffer) -> Turn {
        if let failure = self.observer.failure { return .failed(failure, bytes) }
        guard self.channel.isActive else { return .failed(.export("the library closed the connection"), bytes) }
        do {
            if let transcriptError {
                // The client has seen no ServerHello, so it reads alerts in the clear.
                let failure = HandoffFailure.tls("the client's messages do not make a handshake: \(transcriptError)")
                return .failed(failure, Alert(.unexpectedMessage).record())
            }
            if self.transcript.serverHello == nil { self.noteResumption(bytes) }
            try self.transcript.send(bytes)
            guard let hello = self.transcript.serverHello else { return .needsMore(bytes) }
            let isTLS13: Bool = hello.version == TLSVersion.tls13
            guard isTLS13 || self.observer.isCompleted else { return .needsMore(bytes) }
            guard self.context.lendsSessions else {
                return isTLS13 ? .failed(.export("a challenge in TLS 1.3"), ByteBuffer()) : .answered(bytes)
            }
            if !isTLS13 { try self.checkLastTLS12Flight(bytes) }
            let export: SessionExport = try self.export(isTLS13: isTLS13)
            return .exported(export, expectsFinish: isTLS13, bytes)
        } catch let failure as HandoffFailure {
            return .failed(failure, ByteBuffer())
        } catch {
            return .failed(.export("\(error)"), ByteBuffer())
        }
    }

    private func export(isTLS13: Bool) throws(HandoffFailure) -> SessionExport {
        // The random stays reserved: the library may log more, and no other handshake may get that.
        let secrets: LoggedSecrets = self.context.log.take(self.reservation)
        guard isTLS13 else {
            return try .tls12(
                self.transcript, secrets, resumed: self.resumed, libraryVersion: self.tls.tlsVersion,
                libraryProtocol: self.observer.applicationProtocol)
        }
        let export: SessionExport = try .tls13(self.transcript, secrets, libraryVersion: self.tls.tlsVersion)
        if let secret = secrets.serverApplication {
            self.tickets = TicketReader(suite: export.session.suite, secret: secret)
        }
        self.exportedProtocol = export.session.applicationProtocol
        // Hello and flight are of no use any more.
        self.transcript = HandshakeTranscript(maximumBytes: 0)
        return export
    }

    /// A full handshake's first flight ends with ServerHelloDone, and nothing in it is encrypted.
    private func noteResumption(_ flight: ByteBuffer) {
        self.resumed = ClientRecords.countBehindChangeCipherSpec(flight) != nil
    }

    /// The library protects exactly one record in TLS 1.2, its Finished: with the client's at the end, or in the first flight
    /// of a resumed handshake. The edge goes on with the next sequence number.
    private func checkLastTLS12Flight(_ bytes: ByteBuffer) throws(HandoffFailure) {
        let isRight: Bool =
            self.resumed ? bytes.readableBytes == 0 : ClientRecords.countBehindChangeCipherSpec(bytes) == 1
        guard isRight else { throw .export("more than the Finished was protected") }
    }

    // MARK: After the export

    /// The client's Finished in TLS 1.3, and what came before it. Nothing that is written from here on may reach the client:
    /// the edge writes with the same keys.
    ///
    /// - Returns: NewSessionTicket messages in the clear.
    /// - Throws: if these are not the records that complete the handshake, or it does not agree with what was exported.
    func finish(_ bytes: ByteBuffer) throws(HandoffFailure) -> ByteBuffer {
        guard let tickets = self.tickets, !self.hasEnded else { throw .tls("no Finished is expected") }
        self.tickets = nil
        var bytes: ByteBuffer = bytes
        while !self.observer.isCompleted {
            guard let record = ClientRecords.next(&bytes) else { throw .tls("the Finished is not there") }
            self.channel.receive(record)
            if let failure = self.observer.failure { throw failure }
        }
        guard bytes.readableBytes == 0 else { throw .tls("more than the Finished") }
        guard self.observer.applicationProtocol.map({ Array($0.utf8) }) == self.exportedProtocol else {
            throw .export("the library negotiated another protocol")
        }
        self.channel.writeAndFlush(TicketReader.dummy, promise: nil)
        return try tickets.tickets(in: self.channel.takeOutbound())
    }

    /// Frees everything. A turn under way never ends then.
    func end() {
        guard !self.hasEnded else { return }
        self.hasEnded = true
        self.turn = nil
        self.tickets = nil
        self.channel.keyUser = nil
        self.channel.end()
        // The library does nothing more on a closed channel, whatever a key still has to say.
        self.context.log.close(self.reservation)
    }

    // MARK: The key

    /// The library asks for nothing but what a server's handshake with this client needs; that nothing else can ever come of
    /// it is what ``SignedContent`` makes sure.
    func sign(_ scheme: SignatureScheme, _ content: [UInt8]) -> EventLoopFuture<ByteBuffer> {
        self.perform(
            SignedContent(handshake: content, of: self.clientRandom).map { .sign(scheme, content: $0) })
    }

    func decrypt(_ block: [UInt8]) -> EventLoopFuture<ByteBuffer> {
        self.perform(self.context.allowsRSAKeyExchange ? .rawRSA(block) : nil)
    }

    private func perform(_ operation: KeyOperation?) -> EventLoopFuture<ByteBuffer> {
        guard let operation, self.turn != nil, !self.hasUsedKey else {
            self.keyUse = .answered
            return self.channel.eventLoop.makeFailedFuture(HandoffFailure.unexpectedKeyUse)
        }
        self.hasUsedKey = true
        if case .inPlace = self.key.cost(of: operation) {
            self.keyUse = .answered
            do throws(KeyOperationError) {
                return self.channel.eventLoop.makeSucceededFuture(ByteBuffer(bytes: try self.key.perform(operation)))
            } catch {
                return self.channel.eventLoop.makeFailedFuture(HandoffFailure(error, of: operation))
            }
        }
        let promise: EventLoopPromise<ByteBuffer> = self.channel.eventLoop.makePromise()
        self.keyUse = .waiting
        let refusal: WorkRefusal? = self.slowKey(operation) { outcome in
            self.keyUse = .answered
            switch outcome {
            case .done(.success(let bytes)): promise.succeed(ByteBuffer(bytes: bytes))
            case .done(.failure(let error)): promise.fail(HandoffFailure(error, of: operation))
            case .notDone:
                self.hasUsedKey = false
                promise.fail(HandoffFailure.keyNotUsed)
            case .pastDeadline:
                self.hasUsedKey = false
                promise.fail(HandoffFailure.notInTime(.pastDeadline))
            }
            self.step()
        }
        if let refusal {
            self.keyUse = .answered
            self.hasUsedKey = false
            promise.fail(HandoffFailure.notInTime(refusal))
        }
        return promise.futureResult
    }
}
