/// How the end of a message's content is found (RFC 9112 §6.3).
public enum BodyFraming: Hashable, Sendable {
    /// No content at all.
    case none
    /// Exactly so many bytes; 0 if the message says so itself.
    case length(Int64)
    /// The chunked coding; trailers may follow.
    case chunked
    /// Responses only: everything up to the end of the connection.
    case untilClose

    /// Bytes, where the framing says how many there are.
    public var length: Int64? {
        switch self {
        case .none: 0
        case .length(let length): length
        case .chunked, .untilClose: nil
        }
    }
}
