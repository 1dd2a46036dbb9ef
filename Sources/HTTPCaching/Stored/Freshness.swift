/// How long a stored response may be used, decided once when it is stored (RFC 9111 §4.2 and §5.2.2). All times are in
/// milliseconds.
public struct Freshness: Hashable, Sendable {
    /// Where the lifetime comes from. The text goes to `Cache-Status` details and to logs.
    public enum Source: UInt8, CaseIterable, Sendable {
        /// Nothing says how long: it has to be validated before each use.
        case none = 0
        case sharedMaxAge = 1
        case maxAge = 2
        case expires = 3
        case targeted = 4
        case heuristic = 5
        /// The site's configuration, where the origin says nothing.
        case siteDefault = 6
        /// The site's configuration, whatever the origin says.
        case siteOverride = 7
        /// The site's configuration for an error status.
        case negative = 8

        public var text: String {
            switch self {
            case .none: "none"
            case .sharedMaxAge: "s-maxage"
            case .maxAge: "max-age"
            case .expires: "expires"
            case .targeted: "cdn-cache-control"
            case .heuristic: "heuristic"
            case .siteDefault: "site-default"
            case .siteOverride: "site-override"
            case .negative: "negative"
            }
        }
    }

    /// What the response's directives forbid or allow later on.
    public struct Flags: OptionSet, Hashable, Sendable {
        public let rawValue: UInt16

        public init(rawValue: UInt16) {
            self.rawValue = rawValue
        }

        /// `no-cache` without field names: validated before each use.
        public static let noCache = Flags(rawValue: 1)
        /// `must-revalidate`, or `proxy-revalidate` or `s-maxage`, which mean the same to a shared cache: never served
        /// stale.
        public static let mustRevalidate = Flags(rawValue: 2)
        /// `immutable` (RFC 8246).
        public static let immutable = Flags(rawValue: 4)
        /// Invalidated by an unsafe request (RFC 9111 §4.4): validated before it is used again, whatever else allows
        /// stale use.
        public static let invalidated = Flags(rawValue: 8)
        /// A soft purge ended its lifetime.
        public static let softlyPurged = Flags(rawValue: 16)
    }

    /// `current_age` when the response arrived: `corrected_initial_age` of RFC 9111 §4.2.3. Never negative.
    public var initialAge: Int64
    /// Never negative.
    public var lifetime: Int64
    public var source: Source
    public var flags: Flags
    /// `stale-while-revalidate`, from the response or the site. Never negative.
    public var staleWhileRevalidate: Int64
    /// `stale-if-error`, from the response or the site. Never negative.
    public var staleIfError: Int64

    public init(
        initialAge: Int64, lifetime: Int64, source: Source, flags: Flags = [], staleWhileRevalidate: Int64 = 0,
        staleIfError: Int64 = 0
    ) {
        self.initialAge = max(initialAge, 0)
        self.lifetime = max(lifetime, 0)
        self.source = source
        self.flags = flags
        self.staleWhileRevalidate = max(staleWhileRevalidate, 0)
        self.staleIfError = max(staleIfError, 0)
    }
}
