/// Why a request goes to the origin: the `fwd` parameter of `Cache-Status` (RFC 9211 §2.2), and a detail of our own.
public enum ForwardReason: Hashable, Sendable {
    /// The store was not asked.
    case bypass(BypassReason)
    /// The method can't be answered from a store.
    case method
    /// Nothing is stored for the URI.
    case uriMiss
    /// Something is, but not for these request fields.
    case varyMiss
    /// The request's directives want more than is stored.
    case request(RequestWish)
    /// What is stored isn't fresh.
    case stale(StaleReason)
    /// Only a part that doesn't cover what was asked for is stored.
    case partial

    /// What a request wanted.
    public enum RequestWish: String, Sendable, CaseIterable {
        case noCache = "no-cache"
        case maxAge = "max-age"
        case minFresh = "min-fresh"
    }

    /// Why a stored response had to be validated.
    public enum StaleReason: String, Sendable, CaseIterable {
        case expired = "expired"
        /// `no-cache`: validated before every use.
        case noCache = "response-no-cache"
        /// An unsafe request or an administrator invalidated it.
        case invalidated = "invalidated"
    }

    /// The token for `fwd`.
    public var token: StaticString {
        switch self {
        case .bypass: "bypass"
        case .method: "method"
        case .uriMiss: "uri-miss"
        case .varyMiss: "vary-miss"
        case .request: "request"
        case .stale: "stale"
        case .partial: "partial"
        }
    }

    /// What the token leaves open; nil if nothing.
    public var detail: String? {
        switch self {
        case .bypass(let reason): reason.rawValue
        case .request(let wish): wish.rawValue
        case .stale(let reason): reason.rawValue
        case .method, .uriMiss, .varyMiss, .partial: nil
        }
    }
}
