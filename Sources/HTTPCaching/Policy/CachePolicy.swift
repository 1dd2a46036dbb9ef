public import HTTPFields

/// How one site is cached. `CachePolicy()` is RFC 9111 as it stands, with the choices that `CacheRule` lists.
public struct CachePolicy: Hashable, Sendable {
    /// What becomes part of the key.
    public var query: QueryRules
    /// For every path, but for what one of `paths` sets.
    public var defaults: CacheRule { didSet { self.shared = SharedRule(self.defaults) } }
    /// `defaults`, made once: all requests of the site have it.
    private var shared: SharedRule
    /// Of those whose pattern matches the path, the first that sets something decides it.
    public var paths: [PathRule]

    /// What is different for the paths that match a pattern (`/static/*`, `*.css`), compared with ``PathForms`` of
    /// `CacheKey.path`. `nil`
    /// leaves a setting alone; the settings are those of `CacheRule`.
    public struct PathRule: Hashable, Sendable {
        public var pattern: GlobPattern
        public var bypass: Bool?
        public var defaultLifetime: Int64?
        public var overrideLifetime: Int64?

        public init(
            pattern: GlobPattern, bypass: Bool? = nil, defaultLifetime: Int64? = nil, overrideLifetime: Int64? = nil
        ) {
            self.pattern = pattern
            self.bypass = bypass
            self.defaultLifetime = defaultLifetime
            self.overrideLifetime = overrideLifetime
        }
    }

    public init(query: QueryRules = QueryRules(), defaults: CacheRule = CacheRule(), paths: [PathRule] = []) {
        self.query = query
        self.defaults = defaults
        self.shared = SharedRule(defaults)
        self.paths = paths
    }

    /// The rule that all keys have; nil if it depends on the path.
    public var commonRule: SharedRule? { self.paths.isEmpty ? self.shared : nil }

    /// The rule for one key.
    ///
    /// The origin may take the path for another one (``PathForms``), so that what keeps responses out of the store holds
    /// if any form of the path matches, and what puts them in or keeps them longer only if all of them do.
    public func rule(for key: CacheKey) -> SharedRule {
        if self.paths.isEmpty { return self.shared }
        let forms = PathForms(key.path)
        var rule = self.defaults
        // Backwards, so that the first has the last word.
        for other in self.paths.reversed() {
            if other.bypass == true, forms.some(match: other.pattern) { rule.bypass = true }
            guard other.bypass == false || other.defaultLifetime != nil || other.overrideLifetime != nil,
                forms.all(match: other.pattern)
            else { continue }
            if other.bypass == false { rule.bypass = false }
            if let lifetime = other.defaultLifetime { rule.defaultLifetime = lifetime }
            if let lifetime = other.overrideLifetime { rule.overrideLifetime = lifetime }
        }
        return rule == self.defaults ? self.shared : SharedRule(rule)
    }
}

/// A rule that many requests have: to hold one is to hold a single reference.
public final class SharedRule: Hashable, Sendable {
    public let rule: CacheRule

    public init(_ rule: CacheRule) {
        self.rule = rule
    }

    public static func == (one: SharedRule, other: SharedRule) -> Bool {
        one === other || one.rule == other.rule
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(self.rule) }
}

/// What a site wants. Times are in milliseconds.
public struct CacheRule: Hashable, Sendable {
    /// What to do with responses that set cookies. Sharing one hands a visitor's session to others.
    public enum SetCookiePolicy: String, Hashable, Sendable, CaseIterable {
        /// Not stored, unless the response says `public` or has a lifetime meant for shared caches (`s-maxage`,
        /// `CDN-Cache-Control`).
        case refuseUnlessShared = "refuse-unless-shared"
        /// Never stored.
        case refuse
        /// Stored, cookies included, wherever RFC 9111 lets the response be stored with an explicit lifetime.
        case store
        /// Stored without its cookies. Only the client that the origin answered gets them.
        case strip
    }

    /// Which responses to requests with a `Cookie` are stored. What such a request gets may be its visitor's own, also where
    /// the origin does not say so.
    public enum CookieRequestPolicy: String, Hashable, Sendable, CaseIterable {
        /// Those that the origin gives a lifetime, calls `public`, or says to vary by `Cookie`, and those that a site's
        /// rule gives a lifetime whatever the origin says. A site's default or the heuristic alone is not enough.
        case explicit
        /// As if there were no cookie.
        case any
    }

    /// What requests' `Cache-Control` and `Pragma` can do.
    public enum RequestDirectives: String, Hashable, Sendable, CaseIterable {
        /// As RFC 9111 §5.2.1 says: any client can have the origin asked.
        case honour
        /// `only-if-cached` and `no-store`: what makes the origin work no more.
        case limited
        case ignore
    }

    /// Neither looked up nor stored.
    public var bypass: Bool
    /// Neither looked up nor stored for requests with a cookie of such a name.
    public var bypassCookies: [GlobPattern]
    /// Neither looked up nor stored for requests with such a field.
    public var bypassFields: [FieldName]
    /// Neither looked up nor stored for requests with one of these.
    public var unkeyedFields: UnkeyedFields

    /// Freshness for responses about which the origin says nothing, heuristically cacheable statuses only; nil: the
    /// heuristic alone.
    public var defaultLifetime: Int64?
    /// Replaces what the origin says about freshness, but for `no-store`, `private` and `no-cache`.
    public var overrideLifetime: Int64?
    /// No lifetime is longer than this.
    public var maximumLifetime: Int64
    /// The heuristic lifetime is this share of the time since `Last-Modified`, in hundredths. 0 turns it off.
    public var heuristicPercent: Int64
    /// No heuristic lifetime is longer than this.
    public var maximumHeuristicLifetime: Int64
    /// Freshness by status, for errors about which the origin says nothing.
    public var negativeLifetimes: [Int: Int64]

    /// For responses that don't have the directive, were fresh once and may be served stale.
    public var staleWhileRevalidate: Int64
    /// For responses that don't have the directive, were fresh once and may be served stale.
    public var staleIfError: Int64

    /// Response fields that speak to this cache alone and take the place of `Cache-Control` (RFC 9213), most specific
    /// first.
    public var targetedFields: [FieldName]
    /// A range that begins before this offset is answered out of a full response, which is fetched and stored; other
    /// ranges are forwarded as they are. 0 forwards all but those that begin at the first byte; -1 forwards all.
    public var fillsRangesBefore: Int64

    public var setCookie: SetCookiePolicy
    public var cookieRequests: CookieRequestPolicy
    /// The content codings that the origin is offered, in lower case, preferred first: of those that a client accepts,
    /// these remain (`AcceptedCodings`). `nil`: what clients send goes to the origin as it is.
    public var codings: [String]? { didSet { self.offered = self.codings.map { OfferedCodings($0) } } }
    private(set) var offered: OfferedCodings?
    public var requestDirectives: RequestDirectives
    /// Bytes of body. What is known to be larger isn't stored; what turns out to be larger is dropped.
    public var maximumObjectBytes: Int64
    /// Applied to each response that is sent to a client, stored or not.
    public var responseFields: FieldEdits

    /// By default: nothing bypassed but what has a field that frameworks trust; lifetimes as the origin says, at most 366 days; a tenth of the time since
    /// `Last-Modified` where it says nothing, at most a day; 404 and 410 like any other status; stale responses served
    /// for a minute while the origin fails; `CDN-Cache-Control` obeyed; ranges in the first MiB fetched as a whole;
    /// responses that set cookies not stored, those to requests with cookies only if the origin says something of their
    /// lifetime; `br` and `gzip` offered to the origin; requests' directives honoured; bodies of up to 1 GiB.
    public init() {
        self.bypass = false
        self.bypassCookies = []
        self.bypassFields = []
        self.unkeyedFields = .standard
        self.defaultLifetime = nil
        self.overrideLifetime = nil
        self.maximumLifetime = 366 * 86_400_000
        self.heuristicPercent = 10
        self.maximumHeuristicLifetime = 86_400_000
        self.negativeLifetimes = [:]
        self.staleWhileRevalidate = 0
        self.staleIfError = 60_000
        self.targetedFields = [FieldName(.cdnCacheControl)]
        self.fillsRangesBefore = 1 << 20
        self.setCookie = .refuse
        self.cookieRequests = .explicit
        self.codings = ["br", "gzip"]
        self.offered = .usual
        self.requestDirectives = .honour
        self.maximumObjectBytes = 1 << 30
        self.responseFields = FieldEdits()
    }
}
