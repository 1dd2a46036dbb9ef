import NIOCore
import RecordLayer
import TLSEngine
import TLSWire

/// One TLS handshake with a client that an edge carries the bytes of. ``TLSEngine/ServerHandshake`` makes it; this has its site's key
/// sign, here or elsewhere.
///
/// Lives on the event loop of the edge's connection: ``begin(_:_:)``, any number of ``proceed(_:_:)``, and in any case ``end()``. Who calls in another order is wrong: that is what ``HandshakeDesk`` sees to. The client's violations come
/// back as ``Turn/failed(_:_:)``.
final class HandoffHandshake {
    /// What a turn came to. The bytes are for the client.
    enum Turn {
        case needsMore(ByteBuffer)
        /// - Parameter tickets: NewSessionTicket messages in the clear, for behind the client's Finished; TLS 1.3 only.
        case exported(ServerSession, tickets: ByteBuffer, ByteBuffer)
        /// An authority's check has been answered (RFC 8737): the handshake is done, and nothing comes of it.
        case answered(ByteBuffer)
        case failed(HandoffFailure, ByteBuffer)
    }

    /// Has done what takes long, and calls back on the event loop when this has returned, unless it is refused.
    struct SlowWork {
        /// A key operation.
        var perform:
            (_ operation: KeyOperation, _ key: any StoredKey, _ done: @escaping (SlowOutcome<KeyResult>) -> Void) ->
                WorkRefusal?
        /// A turn in which the TLS library uses a key by itself.
        var take: (_ turn: LibraryTurn, _ done: @escaping (SlowOutcome<Void>) -> Void) -> WorkRefusal?
    }

    private enum State: ~Copyable {
        /// The client has to say more.
        case waits(ServerHandshake)
        /// A key signs somewhere else.
        case signing(AwaitedSignature)
        /// At work, or over.
        case none
    }

    private let clientRandom: [UInt8]
    private let context: HandoffContext
    private let slow: SlowWork
    private var state: State
    private var turns = ClientRecords.Turns()
    /// Bytes of the turn that are not taken yet.
    private var rest = ByteBuffer()
    private var turn: ((Turn) -> Void)?
    private var keyWasUsed: Bool = false
    /// It was asked somewhere else, and has not answered.
    private var isKeyAtWork: Bool = false
    /// What the server has chosen so far, for audit lines.
    private(set) var chosen: HandshakeFacts?
    private var hasEnded: Bool = false

    /// - Parameter clientRandom: Of the ClientHello: what is signed must be for this client.
    /// - Throws: if the TLS library has no memory for it.
    init(
        _ clientRandom: [UInt8], context: HandoffContext, slow: SlowWork
    ) throws(EngineError) {
        self.clientRandom = clientRandom
        self.context = context
        self.slow = slow
        self.state = .waits(try ServerHandshake(context.server))
    }

    /// Which of the site's certificates the client is shown; nil: that is not known yet, or it is shown none.
    var credential: SiteCredential? { self.chosen?.credential.flatMap(self.credential(at:)) }

    private func credential(at place: Int) -> SiteCredential? {
        self.context.credentials.indices.contains(place) ? self.context.credentials[place] : nil
    }

    /// The site's key was asked for, and may have been used.
    var hasUsedKey: Bool { self.keyWasUsed || self.isKeyAtWork }

    // MARK: Turns

    /// The ClientHello. `done` is called once, maybe before this returns, and not at all after ``end()``.
    func begin(_ bytes: ByteBuffer, _ done: @escaping (Turn) -> Void) {
        guard let handshake = self.waiting() else { return done(.failed(.outOfTurn, ByteBuffer())) }
        self.turn = done
        self.rest = bytes
        self.act(on: handshake.receive(&self.rest))
    }

    /// Whether these may be the client's next bytes; asked once before ``proceed(_:_:)``.
    func check(_ bytes: ByteBuffer) throws(ClientRecordsError) {
        try self.turns.check(bytes, isTLS12: self.chosen?.version == TLSVersion.tls12)
    }

    /// The client's next bytes; `done` as for ``begin(_:_:)``.
    func proceed(_ bytes: ByteBuffer, _ done: @escaping (Turn) -> Void) {
        guard let handshake = self.waiting() else { return done(.failed(.outOfTurn, ByteBuffer())) }
        self.turn = done
        self.rest = bytes
        guard self.context.libraryUsesKey else { return self.act(on: handshake.receive(&self.rest)) }
        let turn = LibraryTurn(handshake, self.rest)
        let refusal: WorkRefusal? = self.slow.take(turn) { outcome in self.taken(turn, outcome) }
        if let refusal { self.fail(.notInTime(refusal)) } else { self.isKeyAtWork = true }
    }

    private func taken(_ turn: LibraryTurn, _ outcome: SlowOutcome<Void>) {
        guard !self.hasEnded else { return }
        self.isKeyAtWork = false
        switch outcome {
        case .done:
            self.keyWasUsed = true
            guard let result = turn.takeResult(leaving: &self.rest) else { return self.fail(.outOfTurn) }
            self.act(on: result)
        case .notDone: self.fail(.keyNotUsed)
        case .pastDeadline: self.fail(.notInTime(.pastDeadline))
        }
    }

    private func act(on turn: consuming HandshakeTurn) {
        // Even an empty slice keeps the memory that it is of: what was read from the edge at once, of all its handshakes.
        if self.rest.readableBytes == 0 { self.rest = ByteBuffer() }
        switch consume turn {
        case .needsInput(let handshake, let output):
            self.chosen = handshake.facts
            self.state = .waits(handshake)
            self.conclude(.needsMore(output))
        case .needsSignature(let awaited):
            self.chosen = awaited.facts
            self.sign(awaited)
        case .exported(let session, let finished, let output):
            self.chosen = session.facts
            self.export(session, finished, output)
        case .failed(let end):
            self.chosen = end.facts
            self.fail(HandoffFailure(end.failure), end.output)
        }
    }

    private func export(
        _ session: ServerSession, _ finished: consuming AwaitedFinished?, _ output: ByteBuffer
    ) {
        // What follows the client's Finished is the session's, and the edge's to read; before it, a client has nothing to say. Nothing
        // has been sent yet, so the client reads alerts as it did before.
        guard self.rest.readableBytes == 0 else {
            return self.fail(.tls("more than the client's turn"), Alert(.unexpectedMessage).record())
        }
        guard self.context.lendsSessions else { return self.conclude(.answered(output)) }
        var tickets = ByteBuffer()
        if self.context.server.policy.tickets != nil, let finished = consume finished {
            do throws(HandoffFailure) { tickets = try Self.tickets(of: session.session, finished) } catch {
                return self.fail(error)
            }
        }
        self.conclude(.exported(session, tickets: tickets, output))
    }

    /// What a client's Finished has to be is known when the server's is written, since no client certificate is asked for. So the
    /// tickets can be made before it comes (RFC 8446 §4.6.1), and nothing of the handshake has to be kept for that. The edge,
    /// which checks the client's own Finished, sends them behind it.
    private static func tickets(
        of session: ExportedSession, _ finished: consuming AwaitedFinished
    ) throws(HandoffFailure) -> ByteBuffer {
        guard var expected = session.expectedFinished() else { throw .export("no Finished is to be expected") }
        switch finished.receive(&expected) {
        case .completed(let tickets): return tickets
        case .needsInput: throw .export("the expected Finished does not end the handshake")
        case .failed(let failure, _): throw .export("the expected Finished: \(failure)")
        }
    }

    /// The alert for a client whose bytes are not looked at. ``end()`` must follow.
    func reject(_ alert: Alert.Description) -> ByteBuffer {
        guard let handshake = self.waiting() else { return Alert(alert).record() }
        return handshake.abort(alert)
    }

    private func conclude(_ turn: Turn) {
        let done: ((Turn) -> Void)? = self.turn
        self.turn = nil
        done?(turn)
    }

    private func fail(_ failure: HandoffFailure, _ output: ByteBuffer = ByteBuffer()) {
        self.conclude(.failed(failure, output))
    }

    /// Frees everything. A turn under way never ends then.
    func end() {
        self.hasEnded = true
        self.turn = nil
        self.rest = ByteBuffer()
        self.state = .none
    }

    private func take() -> State {
        var taken = State.none
        swap(&taken, &self.state)
        return taken
    }

    /// The handshake, if it waits for its client.
    private func waiting() -> ServerHandshake? {
        guard case .waits(let handshake) = self.take() else { return nil }
        return handshake
    }

    // MARK: The key

    /// The library asks for nothing but what a server's handshake with this client needs; that nothing else can ever come of
    /// it is what ``SignedContent`` makes sure.
    private func sign(_ awaited: consuming AwaitedSignature) {
        let request: SignatureRequest = awaited.request
        guard !self.keyWasUsed, let key = self.credential(at: request.credential)?.key,
            key.type.schemes.contains(request.scheme),
            let content = SignedContent(handshake: request.content, of: self.clientRandom)
        else { return self.fail(.unexpectedKeyUse) }
        let operation = KeyOperation.sign(request.scheme, content: content)
        if case .inPlace = key.cost(of: operation) {
            self.keyWasUsed = true
            do throws(KeyOperationError) {
                return self.complete(awaited, try key.perform(operation))
            } catch {
                return self.fail(.keyFailed(error))
            }
        }
        self.state = .signing(awaited)
        let refusal: WorkRefusal? = self.slow.perform(operation, key) { outcome in self.signed(outcome) }
        guard let refusal else {
            self.isKeyAtWork = true
            return
        }
        self.state = .none
        self.fail(.notInTime(refusal))
    }

    private var isSigning: Bool {
        switch self.state {
        case .signing: true
        default: false
        }
    }

    /// A key has answered, however late: the handshake may have ended.
    private func signed(_ outcome: SlowOutcome<KeyResult>) {
        guard self.isSigning, case .signing(let awaited) = self.take() else { return }
        self.isKeyAtWork = false
        if case .done = outcome { self.keyWasUsed = true }
        switch outcome {
        case .done(.success(let signature)): self.complete(awaited, signature)
        case .done(.failure(let error)): self.fail(.keyFailed(error))
        case .notDone: self.fail(.keyNotUsed)
        case .pastDeadline: self.fail(.notInTime(.pastDeadline))
        }
    }

    private func complete(_ awaited: consuming AwaitedSignature, _ signature: [UInt8]) {
        // Cheap with RSA, and a computation that went wrong there can give the key away. With ECDSA it would cost more than signing.
        let isRSA: Bool = self.credential(at: awaited.request.credential)?.key.type.isRSA ?? false
        guard !isRSA || self.context.server.verifies(signature, for: awaited.request) else {
            return self.fail(.wrongSignature)
        }
        self.act(on: awaited.complete(signature))
    }
}
