/// Why a request failed: the one-byte payload of an ``Opcode/error`` packet.
public enum KeyErrorCode: UInt8, Error, Hashable, Sendable, CaseIterable {
    /// The private-key operation itself failed.
    case cryptographyFailed = 1
    /// No such key, or not one that the asking edge may use: it cannot tell which.
    case keyNotFound = 2
    /// The peer could not be read from.
    case readError = 3
    /// The packet's major version is not 1.
    case versionMismatch = 4
    /// The opcode or function is unknown, or does not fit the key.
    case badOpcode = 5
    /// An answer's opcode in the place of a request's.
    case unexpectedOpcode = 6
    /// The packet, an item or the payload is malformed.
    case formatError = 7
    /// A fault of the key holder's; to stock requests also over the rate limit, and overloaded.
    case internalError = 8
    /// The certificate that the request names is not the one that is in use now.
    case certificateNotFound = 9
    /// The site's certificate has expired.
    case expired = 10

    // Our own codes: for `latchstring.*` functions, and for connections of edges.

    /// The edge has no grant at all, or none any more: nothing that it asks is answered. It stops serving what it served
    /// under this key holder's grants.
    case noGrant = 0x80
    /// Over the grant's rate.
    case rateLimited = 0x81
    /// Too many requests are under way, of the edge or of all edges together.
    case overloaded = 0x82
    /// The request's own deadline has passed; nothing was done.
    case pastDeadline = 0x83
    /// The asking side has taken the request back; nothing was done.
    case cancelled = 0x84

    /// The same for a stock peer, which knows codes 1 to 10 only.
    public var stock: KeyErrorCode {
        switch self {
        case .rateLimited, .overloaded, .pastDeadline, .cancelled: .internalError
        default: self
        }
    }

    /// A short name for logs, metrics and audit lines.
    public var name: String {
        switch self {
        case .cryptographyFailed: "cryptography-failed"
        case .keyNotFound: "key-not-found"
        case .readError: "read-error"
        case .versionMismatch: "version-mismatch"
        case .badOpcode: "bad-opcode"
        case .unexpectedOpcode: "unexpected-opcode"
        case .formatError: "format-error"
        case .internalError: "internal-error"
        case .certificateNotFound: "certificate-not-found"
        case .expired: "expired"
        case .noGrant: "no-grant"
        case .rateLimited: "rate-limited"
        case .overloaded: "overloaded"
        case .pastDeadline: "past-deadline"
        case .cancelled: "cancelled"
        }
    }
}
