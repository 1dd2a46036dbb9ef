public import NIOCore

/// One request or answer: an id, chosen by the asking side and repeated in the answer, and a message.
public struct KeyPacket: Equatable, Sendable {
    public var id: UInt32
    public var body: KeyMessage

    public init(id: UInt32, body: KeyMessage) {
        self.id = id
        self.body = body
    }

    /// The answer to a request that succeeded.
    public static func success(id: UInt32, payload: ByteBuffer, extra: ByteBuffer? = nil) -> KeyPacket {
        KeyPacket(id: id, body: KeyMessage(opcode: .success, payload: payload, extra: extra))
    }

    /// The answer to a request that failed.
    public static func failure(id: UInt32, _ code: KeyErrorCode) -> KeyPacket {
        KeyPacket(id: id, body: KeyMessage(opcode: .error, payload: ByteBuffer(bytes: CollectionOfOne(code.rawValue))))
    }
}

/// The items of a packet's body. All but the opcode are optional; an absent payload equals an empty one.
public struct KeyMessage: Equatable, Sendable {
    /// Item `11`.
    public var opcode: Opcode
    /// Item `12`; left out when empty.
    public var payload: ByteBuffer
    /// Item `13`: the custom function's name; 1 to 255 visible ASCII characters.
    public var function: String?
    /// Item `02`: the domain as the client sent it; 1 to 255 visible ASCII characters, not checked any further.
    public var serverName: String?
    /// Item `03`: 4 or 16 bytes.
    public var clientIP: [UInt8]?
    /// Item `05`: 4 or 16 bytes.
    public var serverIP: [UInt8]?
    /// Item `04`, the subject key identifier: 20 bytes, the SHA-1 of the certificate's subjectPublicKey bit string.
    public var ski: [UInt8]?
    /// Item `01`: 32 bytes, the SHA-256 of the certificate.
    public var certificateDigest: [UInt8]?
    /// Item `06`: 1 to 255 visible ASCII characters.
    public var certificateID: String?
    /// Item `14`: opaque.
    public var extra: ByteBuffer?
    /// Item `15`: milliseconds for which the asking side waits for the answer, from when it sent the request. An answer
    /// that comes later is of no use to it.
    public var deadline: UInt32?
    /// Item `16`, empty: another key holder was asked for the same before, and has not answered yet.
    public var isHedge: Bool = false

    public init(
        opcode: Opcode, payload: ByteBuffer = ByteBuffer(), function: String? = nil, serverName: String? = nil,
        clientIP: [UInt8]? = nil, serverIP: [UInt8]? = nil, ski: [UInt8]? = nil, certificateDigest: [UInt8]? = nil,
        certificateID: String? = nil, extra: ByteBuffer? = nil, deadline: UInt32? = nil
    ) {
        self.opcode = opcode
        self.payload = payload
        self.function = function
        self.serverName = serverName
        self.clientIP = clientIP
        self.serverIP = serverIP
        self.ski = ski
        self.certificateDigest = certificateDigest
        self.certificateID = certificateID
        self.extra = extra
        self.deadline = deadline
    }

    /// Why the request failed, if this is an ``Opcode/error`` answer.
    ///
    /// A code that the protocol does not have, or a payload that is not one byte, counts as
    /// ``KeyErrorCode/internalError``.
    public var errorCode: KeyErrorCode? {
        guard self.opcode == .error else { return nil }
        guard self.payload.readableBytes == 1, let code: UInt8 = self.payload.getInteger(at: self.payload.readerIndex)
        else { return .internalError }
        return KeyErrorCode(rawValue: code) ?? .internalError
    }
}
