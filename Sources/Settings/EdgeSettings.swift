public import Admission
public import EdgeModel
public import TLSWire

/// What `Examples/edge.yaml` says, with defaults filled in and paths resolved.
public struct EdgeSettings: Hashable, Sendable {
    /// TLS listeners; at least one.
    public var listen: [ListenAddress]
    /// Where clients connect without TLS; nil: nowhere.
    public var plain: PlainSettings?
    /// Where key holders connect that open no port; empty: nowhere.
    public var keyHolderListen: [SocketEndpoint] = []
    /// Networks of HTTP proxies in front of this edge.
    public var trustedProxies: [IPNetwork]
    /// Who this edge is towards key holders; present whenever `keyHolders` is not empty.
    public var identity: IdentitySettings?
    /// In the order of the file; names are unique.
    public var keyHolders: [KeyHolderEntry]
    /// In the order of the file; at least one. No domain stands in two of them.
    public var sites: [Site]
    /// Of `sites`, in their order.
    public var places: [SitePlace]
    /// The name assumed for clients that send none; belongs to one of `sites`. nil: such clients get an alert.
    public var defaultSite: ServerName?
    /// Health, metrics and purging; a loopback address, or with a token. nil: none.
    public var admin: AdminSettings?
    /// nil: none.
    public var monitoring: MonitoringSettings?
    public var cache: EdgeCacheConfiguration
    /// nil: this edge is part of no fleet.
    public var fleet: FleetSettings?
    public var log: LogSettings
    /// nil: requests are not logged.
    public var accessLog: AccessLogSettings?
    /// Who is told what requests are called.
    public var naming: RequestNaming
    public var limits: EdgeLimits
    /// How long connections may go on when the process is to end. Default: 10 s.
    public var drain: Duration = .seconds(10)
    public var handOver = HandOverSettings()
    /// Without these, too, the edge is not ready. Default: none.
    public var readyNeeds: Set<ReadyPart> = []
    /// Event loops; nil: one per core.
    public var threads: Int?

    /// A group of addresses at which one and the same key holder identity, or copies of it, can be reached.
    public struct KeyHolderEntry: Hashable, Sendable {
        /// What sites call it.
        public var name: String
        public var location: SourceLocation
        /// Where it listens. At least one, here or in ``dialledBy``.
        public var addresses: [SocketEndpoint]
        /// The names of key holders that connect to this edge by themselves. None stands in two entries.
        public var dialledBy: [String] = []
        /// How long a handshake waits for one key operation, failover included. Default: 2 s.
        public var deadline: Duration
        /// The name that its identity must show. Default: `name`.
        public var identityName: String
        /// Requests under way on one connection. Default: 4,096.
        public var inFlight: Int
        /// Where it takes native connections.
        public var native: [SocketEndpoint]
        /// Whether it takes them over connections that it opens to this edge.
        public var takesNativeDialled = false
        /// Of how many signatures, in percent, a second address is asked, too, when the first one takes long. Default: 5.
        public var hedge = 5
    }

    /// What clients get that come without TLS.
    public struct PlainSettings: Hashable, Sendable {
        /// At least one.
        public var listen: [SocketEndpoint]
        /// 301 or 308. Default: 308.
        public var redirect: Int = 308
        /// Where clients reach the edge with TLS. Default: 443.
        public var port: Int = 443
    }

    /// What an edge can do without for a while, and what its health may depend on all the same.
    public enum ReadyPart: String, CaseIterable, Sendable {
        /// That the disk store can be written to.
        case store
        /// That origins answer.
        case origins
    }

    /// How a process gives its sockets to its successor.
    /// Where a site stands in the file, for messages about it.
    public struct SitePlace: Hashable, Sendable {
        public var site: SourceLocation
        public var origin: SourceLocation
    }
}
