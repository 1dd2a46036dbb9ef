public import EdgeHTTP
import EdgeModel
import EdgeTLS
import KeyProtocol
public import PeerLink
import TLSWire

/// How one site is, as this edge sees it.
public struct SiteHealth: Equatable, Sendable {
    public var name: String
    /// `keyless`, `handoff` or `relay`.
    public var mode: String
    public var domains: [String]
    /// nil: the mode needs none.
    public var keyHolder: KeyHolder?
    /// When the first certificate of its domains ends, in seconds since 1970 UTC; nil: none is known here.
    public var notAfter: Int64?
    /// Why clients are not served, in words; empty: they are.
    public var problems: [String]
    /// Why clients that ask for an OCSP response get none, though files are configured.
    public var stapleProblems: [String] = []
    /// nil: it answered last, or was not asked, or its traffic is not seen here.
    public var origin: OriginTrouble?

    public struct KeyHolder: Equatable, Sendable {
        public var name: String
        public var isConnected: Bool
        /// In the configuration's order; empty before anything is known.
        public var addresses: [AddressHealth] = []
    }
}

/// What health needs to know of a site.
struct SiteFacts: Sendable {
    var name: String
    var mode: String
    var domains: [String]
    var keyHolder: String?
    var origin: @Sendable () -> OriginTrouble?

    init(_ site: Site, origin: @escaping @Sendable () -> OriginTrouble? = { nil }) {
        self.name = site.name
        self.mode = site.mode.word.rawValue
        self.domains = site.domains.map(\.description)
        self.keyHolder = site.mode.termination?.keyHolder
        self.origin = origin
    }
}
