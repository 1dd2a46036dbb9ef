/// What is wrong with a ClientHello, and which alert says so (RFC 8446 §6.2).
public enum ClientHelloError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The part of the message whose length is wrong.
    public enum Part: String, Sendable {
        case message, random, extensions
        case sessionID = "session id"
        case cipherSuites = "cipher suites"
        case compressionMethods = "compression methods"
        case serverName = "server_name"
        case supportedGroups = "supported_groups"
        case signatureAlgorithms = "signature_algorithms"
        case applicationProtocols = "application_layer_protocol_negotiation"
        case supportedVersions = "supported_versions"
        case keyShare = "key_share"
        case earlyData = "early_data"
    }

    /// The handshake message is of another type.
    case notClientHello
    /// A length lies, is odd where it must be even, is below or above what the field allows, or bytes are left over.
    case badLength(Part)
    /// An extension stands there twice.
    case duplicateExtension(UInt16)
    /// Two key shares for one group.
    case duplicateKeyShare(UInt16)
    /// pre_shared_key must be the last extension (RFC 8446 §4.2.11).
    case preSharedKeyNotLast
    /// The null method is missing, or TLS 1.3 is offered together with another one (RFC 8446 §4.1.2).
    case badCompressionMethods
    /// More than one host_name (RFC 6066 §3).
    case severalServerNames
    /// A name type other than host_name. None was ever defined, and servers disagree on how to skip one.
    case unknownServerNameType(UInt8)
    /// A host_name that is not a DNS host name: an IP address, a trailing dot, illegal characters (RFC 6066 §3).
    case badServerName(ServerNameError)

    public var alert: Alert.Description {
        switch self {
        case .notClientHello: return .unexpectedMessage
        case .badLength: return .decodeError
        case .duplicateExtension, .duplicateKeyShare, .preSharedKeyNotLast, .badCompressionMethods,
            .severalServerNames, .unknownServerNameType, .badServerName:
            return .illegalParameter
        }
    }

    /// A constant for each case, without what the client sent: fit for a metric's label.
    public var reason: String {
        switch self {
        case .notClientHello: return "not a ClientHello"
        case .badLength: return "bad length in ClientHello"
        case .duplicateExtension: return "duplicate extension"
        case .duplicateKeyShare: return "duplicate key share"
        case .preSharedKeyNotLast: return "pre_shared_key is not last"
        case .badCompressionMethods: return "bad compression methods"
        case .severalServerNames: return "several server names"
        case .unknownServerNameType: return "unknown server name type"
        case .badServerName: return "bad server name"
        }
    }

    public var description: String {
        switch self {
        case .badLength(let part): return "\(reason): \(part.rawValue)"
        case .duplicateExtension(let type): return "\(reason): \(type)"
        case .duplicateKeyShare(let group): return "\(reason): \(TLSNames.group(group))"
        case .unknownServerNameType(let type): return "\(reason): \(type)"
        case .badServerName(let error): return "\(reason): \(error)"
        default: return reason
        }
    }
}
