public import Admission
public import TLSWire

/// What `Examples/edge.yaml` says, with defaults filled in and paths resolved.
public struct EdgeSettings: Hashable, Sendable {
    /// TLS listeners; at least one.
    public var listen: [Listener]
    /// Networks of HTTP proxies in front of this edge.
    public var trustedProxies: [IPNetwork]
    /// Who this edge is towards key holders; present whenever `keyHolders` is not empty.
    public var identity: IdentitySettings?
    /// In the order of the file; names are unique.
    public var keyHolders: [KeyHolderEntry]
    /// In the order of the file; at least one. No domain stands in two of them.
    public var sites: [Site]
    /// The name assumed for clients that send none; belongs to one of `sites`. nil: such clients get an alert.
    public var defaultSite: ServerName?
    /// Health, metrics and purging; a loopback address, or with a token. nil: none.
    public var admin: AdminSettings?
    public var cache: EdgeCacheSettings
    public var log: LogSettings
    public var limits: Limits
    /// Event loops; nil: one per core.
    public var threads: Int?

    /// Where clients connect.
    public struct Listener: Hashable, Sendable {
        /// Port 0 lets the system choose.
        public var endpoint: SocketEndpoint
        /// Networks whose connections begin with a PROXY protocol header; nil: none.
        public var proxyProtocolFrom: [IPNetwork]?
        /// Whether connections from elsewhere are served, without a header, where `proxyProtocolFrom` is set.
        public var servesOthers: Bool

        public init(_ endpoint: SocketEndpoint, proxyProtocolFrom: [IPNetwork]? = nil, servesOthers: Bool = false) {
            self.endpoint = endpoint
            self.proxyProtocolFrom = proxyProtocolFrom
            self.servesOthers = servesOthers
        }
    }

    /// A group of addresses at which one and the same key holder identity, or copies of it, can be reached.
    public struct KeyHolderEntry: Hashable, Sendable {
        /// What sites call it.
        public var name: String
        public var location: SourceLocation
        /// At least one.
        public var addresses: [SocketEndpoint]
        /// How long a handshake waits for one key operation, failover included. Default: 2 s.
        public var deadline: Duration
        /// The name that its identity must show. Default: `name`.
        public var identityName: String
        /// Requests under way on one connection. Default: 4,096.
        public var inFlight: Int
        /// Where it takes native connections; empty: nowhere.
        public var native: [SocketEndpoint]
    }

    /// Domains that are served alike.
    public struct Site: Hashable, Sendable {
        public var location: SourceLocation
        /// At least one.
        public var domains: [ServerNamePattern]
        public var mode: Mode
        /// nil: the edge sees no requests (relay).
        public var cache: SiteCacheSettings?
        /// Whether clients are offered HTTP/2 beside HTTP/1.1. Default: true. Says nothing in relay.
        public var http2: Bool
        /// How TLS is spoken to clients. Says nothing in relay.
        public var tls: SiteTLS
        /// The key holder to which native handshakes go; nil: they are refused. Default: the site's key holder, if it takes
        /// them.
        public var native: String?
        /// How many of the edge's connections its clients may have at once; nil: three quarters, or all if there is no
        /// other site.
        public var connections: ConnectionBound?
    }

    /// A number of connections, or a percentage of `limits.connections`.
    public enum ConnectionBound: Hashable, Sendable {
        case number(Int)
        case percent(Int)
    }

    /// What a keyless or handoff site says of the TLS that its clients get.
    public struct SiteTLS: Hashable, Sendable {
        /// What clients must offer. Default: 1.2.
        public var minimumVersion: MinimumTLSVersion = .tls12
        /// The age that a session ticket of this edge may have (keyless); zero: none is good for anything. Default: 24 h.
        public var ticketLifetime: Duration = .seconds(24 * 3600)

        public init() {}
    }

    public enum Mode: Hashable, Sendable {
        /// The edge speaks TLS to the client with the help of the named key holder, and HTTP to the origin.
        case keyless(keyHolder: String, origin: WebOrigin)
        /// The key holder shakes hands through the edge and lends it the session; the edge speaks HTTP to the origin.
        case handoff(keyHolder: String, origin: WebOrigin)
        /// Client and origin speak TLS to each other through the edge.
        case relay(origin: RelayOrigin)
    }

    /// Where the requests of a keyless or handoff site go.
    public struct WebOrigin: Hashable, Sendable {
        public var location: SourceLocation
        public var url: OriginURL
        /// The name that the origin's certificate must show; nil: the URL's host. Only for https.
        public var name: ServerName?
        /// Path of the PEM file with the authorities to trust; nil: the system's. Only for https.
        public var roots: String?
        /// Time limit for a new connection. Default: 5 s.
        public var connect: Duration
        /// Time limit for the response's head, and between parts of its body. Default: 60 s.
        public var response: Duration
        /// Percent of the connections to the origin that one client's network may use once half of them are in use.
        /// Default: 25.
        public var sharePerClient: Int
    }

    /// Where a relay site's connections go.
    public struct RelayOrigin: Hashable, Sendable {
        public enum Destination: Hashable, Sendable {
            case address(SocketEndpoint)
            /// Wherever DNS says the requested name is. `ports` is never empty: the first one is used.
            /// Unless `allowPrivate`, answers in private, loopback and link-local ranges are refused.
            case resolve(ports: [Int], allowPrivate: Bool)
        }

        /// How the origin learns the client's address.
        public enum ProxyProtocol: String, CaseIterable, Sendable {
            case none, v1, v2
        }

        public var location: SourceLocation
        public var destination: Destination
        /// Default: none.
        public var proxyProtocol: ProxyProtocol
        /// Time limit for a new connection. Default: 5 s.
        public var connect: Duration
        /// A connection that moves no byte for this long is closed. Default: 5 min.
        public var idle: Duration
        /// A connection is closed at this age. Default: 24 h.
        public var lifetime: Duration
    }

    public struct Limits: Hashable, Sendable {
        /// Clients connected at once.
        public var connections: Int = 100_000
        /// The largest ClientHello that is read, in bytes, record headers included.
        public var helloBytes: Int = 65_536
        /// From accepting a connection to its complete ClientHello.
        public var helloTimeout: Duration = .seconds(10)
        /// From the ClientHello to the end of the TLS handshake (keyless, handoff).
        public var handshakeTimeout: Duration = .seconds(15)
        /// A kept connection without a request is closed after this time (keyless, handoff).
        public var idle: Duration = .seconds(60)
        /// The largest request head, in bytes (keyless, handoff).
        public var requestHeadBytes: Int = 65_536
        /// Clients connected at once from one network; nil: an eighth of `connections`.
        public var connectionsPerClient: Int?
        /// Handshakes per second that key holders are asked for on behalf of one network.
        public var handshakesPerClient: Int = 50
        /// Networks without bounds for one client.
        public var exempt: [IPNetwork] = []
        /// The bits of an IPv6 address that make one client.
        public var ipv6Prefix: Int = ClientNetwork.usualIPv6PrefixLength
        /// Bytes per second that clients and origins have to move while the edge waits for them (keyless, handoff); 0: any.
        public var minimumRate: Int = 1024
        /// What the rate is measured over, again and again.
        public var minimumRateWindow: Duration = .seconds(60)

        public init() {}
    }
}
