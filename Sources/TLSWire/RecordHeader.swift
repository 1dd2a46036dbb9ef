public import NIOCore

/// The content type of a TLS record (RFC 8446 §5.1).
public enum ContentType: UInt8, Sendable {
    case changeCipherSpec = 20
    case alert = 21
    case handshake = 22
    case applicationData = 23
}

/// The five bytes before each TLS record's payload.
public struct RecordHeader: Equatable, Sendable {
    /// Bytes in a header.
    public static let length = 5
    /// The most bytes that an unprotected record may carry (RFC 8446 §5.1): 2^14.
    public static let maximumPlaintextLength = 1 << 14
    /// The most bytes that a protected record may carry: 2^14 + 256 in TLS 1.3, 2^14 + 2048 in TLS 1.2 (RFC 5246
    /// §6.2.3). The larger one, for those who watch a connection without knowing its version.
    public static let maximumCiphertextLength = (1 << 14) + 2048

    /// Raw, since a peer may send anything.
    public var contentType: UInt8
    public var version: UInt16
    /// Payload bytes.
    public var payloadLength: Int

    public init(contentType: UInt8, version: UInt16, payloadLength: Int) {
        self.contentType = contentType
        self.version = version
        self.payloadLength = payloadLength
    }

    /// Reads a header at an index of the buffer without moving its reader; nil if fewer than five bytes are there.
    public init?(in buffer: ByteBuffer, at index: Int) {
        guard let (type, version, length) = buffer.getMultipleIntegers(at: index, as: (UInt8, UInt16, UInt16).self)
        else { return nil }
        self.init(contentType: type, version: version, payloadLength: Int(length))
    }
}

/// The handshake message types that this module names (RFC 8446 §4, RFC 5246 §7.4).
public enum HandshakeType: UInt8, Sendable {
    case helloRequest = 0
    case clientHello = 1
    case serverHello = 2
    case newSessionTicket = 4
    case endOfEarlyData = 5
    case encryptedExtensions = 8
    case certificate = 11
    case serverKeyExchange = 12
    case certificateRequest = 13
    case serverHelloDone = 14
    case certificateVerify = 15
    case clientKeyExchange = 16
    case finished = 20
    case certificateStatus = 22
    case keyUpdate = 24
}
