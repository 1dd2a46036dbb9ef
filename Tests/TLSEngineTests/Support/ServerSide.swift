import NIOCore
import RecordLayer
import TLSEngine
import TLSWire

/// A server around the engine: what an edge does with handshake, session and tickets, without its channel.
final class ServerSide {
    private enum State: ~Copyable {
        case handshake(ServerHandshake)
        case signature(AwaitedSignature)
        case records
        case over
    }

    private var state: State
    private var finished: AwaitedFinished?
    private var records: RecordSession?
    private var input = ByteBuffer()
    private var finishInput = ByteBuffer()
    private let answer: (SignatureRequest) throws -> [UInt8]?

    private(set) var session: ServerSession?
    private(set) var end: HandshakeEnd?
    private(set) var finishFailure: HandshakeFailure?
    private(set) var tickets: ByteBuffer?
    private(set) var requests: [SignatureRequest] = []
    private(set) var isVerified = false
    private(set) var received = ByteBuffer()
    private(set) var recordEnd: Reception.End?

    /// - Parameter sign: nil for a signature that is to come later: ``complete(_:)``.
    init(_ context: ServerContext, sign: @escaping (SignatureRequest) throws -> [UInt8]?) throws {
        self.state = .handshake(try ServerHandshake(context))
        self.answer = sign
    }

    var facts: HandshakeFacts? { self.session?.facts ?? self.end?.facts }
    private(set) var waitsForSignature = false

    /// Bytes from the client.
    ///
    /// - Returns: bytes to it.
    func receive(_ bytes: ByteBuffer) throws -> ByteBuffer {
        self.input.writeImmutableBuffer(bytes)
        switch self.take() {
        case .handshake(let handshake): return try self.act(on: handshake.receive(&self.input))
        case .signature(let awaited):
            // What comes meanwhile waits.
            self.state = .signature(awaited)
            return ByteBuffer()
        case .records:
            self.state = .records
            return try self.receiveRecords()
        case .over: return ByteBuffer()
        }
    }

    func complete(_ signature: [UInt8]) throws -> ByteBuffer {
        self.waitsForSignature = false
        guard case .signature(let awaited) = self.take() else { return ByteBuffer() }
        return try self.act(on: awaited.complete(signature))
    }

    func refuseSignature() -> ByteBuffer {
        self.waitsForSignature = false
        guard case .signature(let awaited) = self.take() else { return ByteBuffer() }
        return awaited.abort()
    }

    func send(_ data: ByteBuffer) throws -> ByteBuffer { try self.records?.send(data) ?? ByteBuffer() }
    func close() -> ByteBuffer { self.records?.close() ?? ByteBuffer() }

    private func take() -> State {
        var taken = State.over
        swap(&taken, &self.state)
        return taken
    }

    private func act(on turn: consuming HandshakeTurn) throws -> ByteBuffer {
        switch consume turn {
        case .needsInput(let handshake, let output):
            self.state = .handshake(handshake)
            return output
        case .needsSignature(let awaited):
            self.requests.append(awaited.request)
            guard let signature = try self.answer(awaited.request) else {
                self.state = .signature(awaited)
                self.waitsForSignature = true
                return ByteBuffer()
            }
            return try self.act(on: awaited.complete(signature))
        case .exported(let session, let finished, var output):
            self.session = session
            self.finished = consume finished
            self.records = RecordSession(session.session)
            self.isVerified = session.session.suite.version == .tls12
            self.state = .records
            output.writeImmutableBuffer(try self.receiveRecords())
            return output
        case .failed(let end):
            self.end = end
            return end.output
        }
    }

    private func receiveRecords() throws -> ByteBuffer {
        var output = ByteBuffer()
        guard self.input.readableBytes > 0, let reception = self.records?.receive(self.input) else { return output }
        if reception.handshakeCompleted { self.isVerified = true }
        if let reply = reception.reply { output.writeImmutableBuffer(reply) }
        if let data = reception.applicationData { self.received.writeImmutableBuffer(data) }
        self.recordEnd = reception.end ?? self.recordEnd
        if let finished = self.finished.take() {
            self.finishInput.writeImmutableBuffer(self.input)
            switch finished.receive(&self.finishInput) {
            case .needsInput(let finished): self.finished = consume finished
            case .completed(let tickets):
                self.tickets = tickets
                if tickets.readableBytes > 0, let sealed = try self.records?.sendPostHandshake(tickets) {
                    output.writeImmutableBuffer(sealed)
                }
            case .failed(let failure, _): self.finishFailure = failure
            }
        }
        self.input.clear()
        return output
    }
}
