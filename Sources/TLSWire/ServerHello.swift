public import NIOCore

/// What a server chose, from its ServerHello or HelloRetryRequest (RFC 8446 §4.1.3, RFC 5246 §7.4.1.3).
public struct ServerHello: Equatable, Sendable {
    /// The negotiated version: from supported_versions where that is present, else the legacy field.
    public var version: UInt16
    /// 32 bytes.
    public var random: [UInt8]
    public var cipherSuite: UInt16
    /// The key_share's group; for a HelloRetryRequest the group the server asks for. Absent in TLS 1.2, where the
    /// ServerKeyExchange names it.
    public var group: UInt16?
    /// The ALPN protocol, if it is said here, as in TLS 1.2.
    public var applicationProtocol: [UInt8]?
    /// True if the server takes up the client's pre-shared key: a resumed session in TLS 1.3.
    public var selectsPreSharedKey = false
    public var isHelloRetryRequest: Bool

    /// Parses a whole handshake message, its 4-byte header included. Extensions that it doesn't know are skipped.
    public init(parsing message: ByteBuffer) throws(ServerHelloError) {
        var reader = WireReader(message)
        guard let type: UInt8 = reader.uint8() else { throw .badLength }
        guard type == HandshakeType.serverHello.rawValue else { throw .notServerHello }
        guard let length: Int = reader.uint24(), length == reader.remaining,
            let legacyVersion: UInt16 = reader.uint16(),
            let random: [UInt8] = reader.bytes(32),
            reader.vector8(0...32) != nil,
            let suite: UInt16 = reader.uint16(),
            reader.uint8() != nil
        else { throw .badLength }
        version = legacyVersion
        self.random = random
        cipherSuite = suite
        isHelloRetryRequest = random == Self.helloRetryRequestRandom
        if reader.isAtEnd { return }
        guard var extensions: WireReader = reader.vector16(), reader.isAtEnd else { throw .badLength }
        var seen = NumberSet()
        while !extensions.isAtEnd {
            guard let type: UInt16 = extensions.uint16(), let body: WireReader = extensions.vector16() else {
                throw .badLength
            }
            guard seen.insert(type) else { throw .duplicateExtension(type) }
            try parse(extension: type, body)
        }
    }

    private mutating func parse(extension type: UInt16, _ body: WireReader) throws(ServerHelloError) {
        var body: WireReader = body
        switch ExtensionType(rawValue: type) {
        case .supportedVersions:
            guard let version: UInt16 = body.uint16(), body.isAtEnd else { throw .badLength }
            self.version = version
        case .keyShare:
            guard let group: UInt16 = body.uint16() else { throw .badLength }
            if !isHelloRetryRequest {
                guard body.vector16(1...0xFFFF) != nil else { throw .badLength }
            }
            guard body.isAtEnd else { throw .badLength }
            self.group = group
        case .preSharedKey:
            guard body.uint16() != nil, body.isAtEnd else { throw .badLength }
            selectsPreSharedKey = true
        case .applicationProtocols:
            guard var list: WireReader = body.vector16(), body.isAtEnd, var name: WireReader = list.vector8(1...0xFF),
                list.isAtEnd
            else { throw .badLength }
            applicationProtocol = name.remainingBytes()
        default:
            break
        }
    }

    /// SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
    private static let helloRetryRequestRandom: [UInt8] = [
        0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
        0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
    ]
}

/// Why a message is not a ServerHello.
public enum ServerHelloError: Error, Equatable, Sendable {
    case notServerHello
    case badLength
    case duplicateExtension(UInt16)
}
