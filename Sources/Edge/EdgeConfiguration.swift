public import Admission
public import NIOCore
public import PeerLink
public import TLSWire

/// Everything an edge is told: where it listens, which sites it serves, which key holders it may ask.
public struct EdgeConfiguration: Sendable {
    public struct ListenAddress: Hashable, Sendable {
        public var host: String
        /// 0 takes a free port.
        public var port: Int
        /// Who may connect.
        public var policy: ListenerPolicy

        public init(host: String, port: Int, policy: ListenerPolicy = .clients) {
            self.host = host
            self.port = port
            self.policy = policy
        }
    }

    public struct Limits: Sendable {
        /// Clients connected at once.
        public var connections = 100_000
        /// The largest ClientHello read, record headers included.
        public var helloBytes = 65_536
        public var helloTimeout = TimeAmount.seconds(10)
        /// From the hello to the end of a keyless handshake.
        public var handshakeTimeout = TimeAmount.seconds(15)
        /// Keep-alive connections without a request.
        public var idle = TimeAmount.seconds(60)
        public var requestHeadBytes = 65_536
        /// Clients connected at once from one network; nil: an eighth of all.
        public var connectionsPerClient: Int?
        /// Handshakes per second, in the long run, that key holders are asked for on behalf of one network; four times as
        /// many at once.
        public var handshakesPerClient = 50
        /// Networks without these two bounds.
        public var exempt: [IPNetwork] = []
        /// The bits of an IPv6 address that make a network.
        public var ipv6PrefixLength = ClientNetwork.usualIPv6PrefixLength
        /// Bytes per second that clients and origins have to move while the edge waits for them, measured over a window; 0: any.
        public var minimumRate = 1024
        public var minimumRateWindow = TimeAmount.seconds(60)

        public init() {}
    }

    public var listen: [ListenAddress]
    /// This edge's own identity towards key holders; needed where a site is keyless.
    public var credentials: PeerCredentials?
    /// The key holders by the name that sites refer to.
    public var keyHolders: [String: KeyHolderPool.Configuration]
    /// Where key holders take native connections, by the name that sites refer to.
    public var nativeAddresses: [String: [PeerAddress]]
    public var sites: [Site]
    /// The site that serves clients which send no server name.
    public var defaultSite: ServerName?
    public var limits: Limits
    /// Networks of HTTP proxies in front of this edge, whose `Forwarded` and `X-Forwarded-*` are added to. They have no bounds
    /// for one client, as if they stood in ``Limits/exempt``.
    public var trustedProxies: [IPNetwork] = []
    /// Where responses are stored.
    public var cache: EdgeCacheConfiguration
    /// Event loops.
    public var threads: Int
    /// File descriptors that the process may have; nil: what the system says.
    public var descriptorLimit: Int?
    /// How often an unchanged certificate is fetched anew.
    public var certificateRefresh: TimeAmount

    /// Makes a configuration with default limits, one event loop per core and certificates refreshed every minute.
    public init(listen: [ListenAddress], sites: [Site]) {
        self.listen = listen
        self.sites = sites
        self.keyHolders = [:]
        self.nativeAddresses = [:]
        self.limits = Limits()
        self.cache = EdgeCacheConfiguration()
        self.threads = System.coreCount
        self.certificateRefresh = .seconds(60)
    }

    var helloLimits: HelloLimits {
        var limits = HelloLimits()
        limits.maximumBytes = self.limits.helloBytes
        limits.timeout = self.limits.helloTimeout
        return limits
    }

    /// The name in `Via` and in log lines: the identity's, or `latchstring`.
    public var edgeName: String { self.credentials?.identity.name ?? "latchstring" }
}
