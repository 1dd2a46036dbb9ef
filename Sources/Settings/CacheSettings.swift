/// The stores that all sites of an edge share.
public struct EdgeCacheSettings: Hashable, Sendable {
    public struct Disk: Hashable, Sendable {
        public var location: SourceLocation
        /// The folder; made if it is not there.
        public var path: String
        /// The largest number of bytes in it.
        public var size: Int
    }

    /// Bytes in memory. Default: 256 MiB.
    public var memory: Int = 256 * 1024 * 1024
    /// nil: responses are kept in memory only.
    public var disk: Disk?
    /// The largest body that is stored, in bytes. Default: 64 MiB.
    public var object: Int = 64 * 1024 * 1024

    public init() {}
}

/// What one site stores, for how long, and what it changes. Sites of mode relay have none.
public struct SiteCacheSettings: Hashable, Sendable {
    /// What to do with `Set-Cookie` in a response.
    public enum SetCookie: String, CaseIterable, Sendable {
        /// The response is not stored unless its lifetime is meant for shared caches.
        case refuseUnlessShared = "refuse-unless-shared"
        /// The response is not stored.
        case refuse
        /// Stored with it where the origin says explicitly how long it is fresh, and sent to everybody.
        case store
        /// Stored without it.
        case strip
    }

    /// Which responses to requests with a cookie are stored.
    public enum CookieRequests: String, CaseIterable, Sendable {
        /// Those whose lifetime the origin or a rule gives, that are `public`, or that vary by `Cookie`.
        case explicit
        /// As if there were no cookie.
        case any
    }

    /// What `Cache-Control` in a request can do.
    public enum RequestDirectives: String, CaseIterable, Sendable {
        /// As RFC 9111 says: any client can have the origin asked.
        case honour
        /// Only what spares the origin: `only-if-cached`, `no-store`.
        case limited
        case ignore
    }

    /// For requests whose path matches. The first rule that sets something decides it.
    public struct Rule: Hashable, Sendable {
        /// `*` stands for any run of characters, slashes included.
        public var path: String
        /// The origin answers every request.
        public var bypass: Bool
        /// Fresh for so long, whatever the origin says; what it forbids to store stays out.
        public var lifetime: Duration?
        /// Fresh for so long where the origin says nothing.
        public var defaultLifetime: Duration?
    }

    /// Which parts of the query tell one stored response from another.
    public struct Query: Hashable, Sendable {
        public enum Parameters: Hashable, Sendable {
            case all
            case except([String])
            case only([String])
        }

        public var parameters: Parameters = .all
        public var sorts: Bool = false

        public init() {}
    }

    public struct Field: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Default: true.
    public var enabled: Bool = true
    /// The largest part of the stores that this site may have, in per cent. Default: 100.
    public var share: Int = 100
    /// The largest body that is stored, in bytes; nil: the edge's.
    public var object: Int?
    /// Fresh for so long where the origin says nothing; nil: the heuristic of RFC 9111 §4.2.2.
    public var defaultLifetime: Duration?
    /// Errors (404, 410, 5xx and so on) are fresh for so long where the origin says nothing; nil: as other responses.
    public var errorLifetime: Duration?
    /// In the order of the file.
    public var rules: [Rule] = []
    public var query = Query()
    public var setCookie: SetCookie = .refuse
    public var cookieRequests: CookieRequests = .explicit
    /// The content codings that the origin is offered, in lower case; nil: what clients send goes to the origin.
    public var codings: [String]? = ["br", "gzip"]
    public var requestDirectives: RequestDirectives = .honour
    /// Patterns; requests with a cookie of such a name go to the origin.
    public var bypassCookies: [String] = []
    /// In lower case; requests with such a field go to the origin.
    public var bypassFields: [String] = []
    /// Fields that frameworks trust and that the origin may get although they are no part of the key. In lower case.
    public var unkeyedFields: [String] = []
    /// After its lifetime, a response is served for so long while it is fetched anew; only where the origin says nothing.
    public var staleWhileRevalidate: Duration?
    /// After its lifetime, a response is served for so long while the origin fails; only where the origin says nothing.
    /// Default: 1 min.
    public var staleIfError: Duration = .seconds(60)
    /// Whether `Cache-Status` says what happened. Default: true.
    public var status: Bool = true
    /// Fields that every response of the site gets, instead of the origin's of that name.
    public var addedFields: [Field] = []
    /// Names, in lower case, of fields that no response of the site has.
    public var removedFields: [String] = []

    public init() {}
}

/// The admin port.
public struct AdminSettings: Hashable, Sendable {
    public var endpoint: SocketEndpoint
    /// Path of the file with the token that requests must bear; always there unless `endpoint` is a loopback address.
    public var token: String?

    public init(endpoint: SocketEndpoint, token: String? = nil) {
        self.endpoint = endpoint
        self.token = token
    }
}
