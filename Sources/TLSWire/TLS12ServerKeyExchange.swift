/// What a TLS 1.2 server signs in an ECDHE ServerKeyExchange (RFC 8422 §5.4): both randoms and the parameters.
///
/// The groups are those that the TLS library offers by itself: x25519, P-256 and P-384. Whether a point lies on its curve
/// is not checked.
///
/// The content has no context string. A value of this type has the form of such a content, and that is all it tells: with
/// x25519, 96 bytes are anything at all, which is enough for a signed document. So a key may sign one only where the
/// randoms and parameters were made, never for a peer that brings them. It can't be taken for TLS 1.3 content, which has
/// the letter T where the parameters begin with 3; randoms of 64 spaces are refused besides.
public struct TLS12ServerKeyExchange: Equatable, Sendable {
    /// 32 bytes.
    public let clientRandom: [UInt8]
    /// 32 bytes.
    public let serverRandom: [UInt8]
    /// The byte 3 (named_curve), the group, and the server's public point behind its length.
    public let parameters: [UInt8]

    /// The group's number in the TLS registry.
    public var group: UInt16 { UInt16(parameters[1]) << 8 | UInt16(parameters[2]) }

    public init(
        clientRandom: [UInt8], serverRandom: [UInt8], parameters: [UInt8]
    ) throws(TLS12ParametersError) {
        guard clientRandom.count == 32, serverRandom.count == 32 else { throw .randomLength }
        let isTLS13Prefix: Bool =
            clientRandom.allSatisfy { $0 == 0x20 } && serverRandom.allSatisfy { $0 == 0x20 }
        if isTLS13Prefix { throw .tls13Prefix }
        try Self.check(parameters)
        self.clientRandom = clientRandom
        self.serverRandom = serverRandom
        self.parameters = parameters
    }

    /// Takes the signed content apart.
    public init(signedContent content: some Collection<UInt8>) throws(TLS12ParametersError) {
        // Bound first: the longest is 64 + 4 + 97 bytes.
        guard content.count >= 64, content.count <= 256 else { throw .contentLength }
        let bytes: [UInt8] = Array(content)
        try self.init(
            clientRandom: Array(bytes[0..<32]), serverRandom: Array(bytes[32..<64]), parameters: Array(bytes[64...]))
    }

    /// Client random, server random, parameters: what is hashed and signed.
    public var signedContent: [UInt8] { clientRandom + serverRandom + parameters }

    private static func check(_ parameters: [UInt8]) throws(TLS12ParametersError) {
        guard parameters.count >= 4 else { throw .parametersLength }
        guard parameters[0] == 3 else { throw .notNamedCurve }
        let group: UInt16 = UInt16(parameters[1]) << 8 | UInt16(parameters[2])
        let expected: Int
        switch group {
        case TLSGroup.x25519: expected = 32
        case TLSGroup.secp256r1: expected = 65
        case TLSGroup.secp384r1: expected = 97
        default: throw .unknownGroup(group)
        }
        guard Int(parameters[3]) == expected, parameters.count == 4 + expected else { throw .pointLength }
        if group == TLSGroup.x25519 {
            // RFC 8422 section 5.11: a party that gets such a key must end the handshake.
            if parameters.dropFirst(4).allSatisfy({ $0 == 0 }) { throw .zeroKey }
        } else if parameters[4] != 4 {
            throw .pointFormat
        }
    }
}

/// Why randoms and parameters are not those of a TLS 1.2 ECDHE server.
public enum TLS12ParametersError: Error, Equatable, Sendable, CustomStringConvertible {
    case contentLength
    case randomLength
    /// Both randoms are spaces only: the beginning of a TLS 1.3 signature's content.
    case tls13Prefix
    case parametersLength
    case notNamedCurve
    case unknownGroup(UInt16)
    case pointLength
    /// Only uncompressed points are allowed (RFC 8422 §5.1.2).
    case pointFormat
    /// An x25519 key of zeros only, which no server has.
    case zeroKey

    public var description: String {
        switch self {
        case .contentLength: return "the content is too short or too long for ECDHE parameters"
        case .randomLength: return "a random is not 32 bytes long"
        case .tls13Prefix: return "the randoms are the prefix of a TLS 1.3 signature"
        case .parametersLength: return "the parameters are too short"
        case .notNamedCurve: return "the parameters do not name a curve"
        case .unknownGroup(let group): return "group \(TLSNames.group(group)) is not allowed in TLS 1.2"
        case .pointLength: return "the public point has the wrong length for its group"
        case .zeroKey: return "the x25519 key is zero"
        case .pointFormat: return "the public point is not in uncompressed form"
        }
    }
}
