public import NIOCore

/// How far a handshake has come: the answer to ``KeyFunction/handshakeBegin`` and ``KeyFunction/handshakeContinue``.
///
/// Layout, big endian: handshake u64, state u8 (1 needs more; 2 exported; 3 failed); in state 2 the session and then the tickets,
/// each as length u16 and bytes, in state 3 the reason as length u8 and text; then the bytes for the client.
public struct HandshakeProgress: Equatable, Sendable {
    /// Names the handshake in later requests on the same connection; never used again there.
    public var handshake: UInt64
    public var state: State
    /// For the client, as they are: whole TLS records.
    public var serverBytes: ByteBuffer
    /// With a session, from a key holder that tells them; not part of the payload.
    public var facts: SessionFacts?

    public enum State: Equatable, Sendable {
        /// Send the server bytes, then ask to continue with what the client answers: after a HelloRetryRequest, and in
        /// TLS 1.2.
        case needsMore
        /// The session is the edge's from here on, and the handshake is forgotten. It is encoded as `ExportedSession` of RecordLayer
        /// says, 1 to 65,535 bytes. In TLS 1.3 the edge checks the client's Finished by itself, and then protects and sends the
        /// tickets: NewSessionTicket messages in the clear, whole, maybe none. In TLS 1.2 there are none beside the server bytes.
        case exported(session: ByteBuffer, tickets: ByteBuffer)
        /// Send the server bytes, which hold the alert if there is one, and close. The reason is 1 to 255 printable ASCII
        /// characters for logs. The handshake is forgotten.
        case failed(reason: String)
    }

    public init(handshake: UInt64, state: State, serverBytes: ByteBuffer) {
        self.handshake = handshake
        self.state = state
        self.serverBytes = serverBytes
    }

    /// The payload of an answer, and what stands beside it.
    public init(decoding answer: KeyMessage) throws(KeyPayloadError) {
        try self.init(decoding: answer.payload)
        if case .exported = self.state { self.facts = SessionFacts(decoding: answer.extra) }
    }

    /// What stands beside the payload.
    public var extra: ByteBuffer? { self.facts?.encoded }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let handshake: UInt64 = payload.readInteger(), let code: UInt8 = payload.readInteger() else {
            throw .truncated
        }
        let state: State
        switch code {
        case StateCode.needsMore:
            state = .needsMore
        case StateCode.exported:
            guard let session = payload.readLengthPrefixedSlice(as: UInt16.self) else { throw .truncated }
            guard session.readableBytes > 0 else { throw .badValue("empty session") }
            guard let tickets = payload.readLengthPrefixedSlice(as: UInt16.self) else { throw .truncated }
            state = .exported(session: session, tickets: tickets)
        case StateCode.failed:
            guard let length: UInt8 = payload.readInteger() else { throw .truncated }
            guard length > 0 else { throw .badValue("empty reason") }
            guard let text: ByteBuffer = payload.readSlice(length: Int(length)) else { throw .truncated }
            guard text.readableBytesView.allSatisfy(isPrintableASCII) else { throw .badValue("reason") }
            state = .failed(reason: String(buffer: text))
        default:
            throw .badValue("state of the handshake")
        }
        self.init(handshake: handshake, state: state, serverBytes: payload.slice())
    }

    /// The payload's bytes. Throws ``KeyEncodingError/badItem(tag:length:)`` for a session, tickets or a reason outside the stated
    /// bounds, and ``KeyEncodingError/bodyTooLarge(_:)`` for server bytes that no packet can carry.
    public func encoded() throws(KeyEncodingError) -> ByteBuffer {
        let tag: UInt8 = KeyItemTag.payload.rawValue
        var payload = ByteBuffer()
        payload.writeInteger(self.handshake)
        switch self.state {
        case .needsMore:
            payload.writeInteger(StateCode.needsMore)
        case .exported(let session, let tickets):
            guard session.readableBytes > 0, let length = UInt16(exactly: session.readableBytes) else {
                throw .badItem(tag: tag, length: session.readableBytes)
            }
            guard let ticketsLength = UInt16(exactly: tickets.readableBytes) else {
                throw .badItem(tag: tag, length: tickets.readableBytes)
            }
            payload.writeInteger(StateCode.exported)
            payload.writeInteger(length)
            payload.writeImmutableBuffer(session)
            payload.writeInteger(ticketsLength)
            payload.writeImmutableBuffer(tickets)
        case .failed(let reason):
            let text: String.UTF8View = reason.utf8
            guard !text.isEmpty, let length = UInt8(exactly: text.count), text.allSatisfy(isPrintableASCII) else {
                throw .badItem(tag: tag, length: text.count)
            }
            payload.writeInteger(StateCode.failed)
            payload.writeInteger(length)
            payload.writeString(reason)
        }
        payload.writeImmutableBuffer(self.serverBytes)
        // The opcode item (4 bytes) and the payload's own item header have to fit in the body, too.
        let extraSize: Int = self.facts == nil ? 0 : KeyPacketLayout.itemHeaderSize + SessionFacts.encodedLength
        let bodySize: Int = payload.readableBytes + 4 + KeyPacketLayout.itemHeaderSize + extraSize
        guard bodySize <= KeyPacketLayout.maximumBodySize else { throw .bodyTooLarge(bodySize) }
        return payload
    }
}

/// The values of the state byte.
private enum StateCode {
    static let needsMore: UInt8 = 1
    static let exported: UInt8 = 2
    static let failed: UInt8 = 3
}

/// Visible ASCII and the space: what a sentence for logs may hold.
private func isPrintableASCII(_ byte: UInt8) -> Bool {
    (0x20...0x7E).contains(byte)
}

extension HandshakeProgress {
    /// Whether the key holder still keeps the handshake after this answer.
    public var leavesSomethingToDo: Bool {
        switch self.state {
        case .needsMore: true
        case .exported, .failed: false
        }
    }

    /// Overwrites the exported session where it was received. What else holds that memory (the TLS library keeps
    /// its buffer for the next read) has no more use for these bytes, and a copy would leave them where they are; so this
    /// goes around the buffer's copy-on-write. For the one whom the answer is for, when the session was decoded.
    public func eraseSession() {
        guard case .exported(let session, _) = self.state else { return }
        session.withUnsafeReadableBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            UnsafeMutableRawPointer(mutating: start).initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count)
        }
    }
}
