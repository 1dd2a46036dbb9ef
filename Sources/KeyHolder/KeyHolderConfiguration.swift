public import Logging
public import NIOCore
public import PeerLink
public import Telemetry

/// Everything a key holder needs to run. The command fills it from settings.
public struct KeyHolderConfiguration: Sendable {
    /// Where edges reach it; may be empty if ``dial`` is not. Port 0 lets the system choose.
    public var listen: [PeerAddress]
    /// Edges that it connects to by itself, so that it needs no port.
    public var dial: [PeerAddress] = []
    /// Who this key holder is towards edges, and which authority vouches for them. The role must be key holder.
    public var credentials: PeerCredentials
    public var sites: [SiteConfiguration]
    public var grants: [GrantConfiguration]
    /// Edges whose grants do not count when the key holder starts. What it is told then, ``KeyHolderServer/revoke(_:)`` and
    /// ``KeyHolderServer/restore(_:)`` say.
    public var revoked: Set<String> = []
    /// How long an edge may go on serving under its grants when it does not hear from this key holder; a second to a week.
    public var lease: TimeAmount = .minutes(10)
    /// How long a key that a reload replaces stays good for clients that were shown its certificate; zero: not at all.
    public var grace: TimeAmount = .minutes(10)
    public var audit: AuditConfiguration
    public var limits: KeyHolderLimits
    public var keyStore: any KeyStore
    /// nil: edges open no links for native clients; those that this key holder dials carry them within the bounds that are given by default.
    public var native: NativeConfiguration?

    public init(
        listen: [PeerAddress], credentials: PeerCredentials, sites: [SiteConfiguration],
        grants: [GrantConfiguration], audit: LogTarget, limits: KeyHolderLimits = KeyHolderLimits(),
        keyStore: any KeyStore = SoftwareKeyStore()
    ) {
        self.listen = listen
        self.credentials = credentials
        self.sites = sites
        self.grants = grants
        self.audit = AuditConfiguration(audit)
        self.limits = limits
        self.keyStore = keyStore
    }

    /// Lowers the bounds on connections to what so many file descriptors are enough for, and says so once. A native
    /// client takes one, the application's, and edges have links for them as they have for all else.
    public mutating func fit(descriptors: Int, logger: Logger) {
        // Links that it dials carry native clients without a listener, too.
        let mayCarry = !self.dial.isEmpty || self.sites.contains { $0.application != nil }
        if self.native == nil, mayCarry { self.native = NativeConfiguration(listen: []) }
        // What it opens itself: offers, and connections on which an edge has yet to prove who it is.
        let dialled = self.dial.count * DialTarget.Limits().unproved
        let reserve = 128 + (self.native == nil ? 1 : 2) * self.limits.handshakes + dialled
        let native = self.native?.limits.connections ?? 0
        let wanted = reserve + (self.native == nil ? 1 : 2) * self.limits.connections + native
        guard wanted > descriptors else { return }
        let left = max(descriptors - reserve, descriptors / 2)
        self.limits.connections = min(
            self.limits.connections, max(1, self.native == nil ? left : left / 4))
        self.native?.limits.connections = min(
            native, max(1, left - min(left, 2 * self.limits.connections)))
        self.limits.handshakes = min(self.limits.handshakes, max(1, descriptors / 8))
        logger.warning(
            "fewer connections are accepted than the limits say: the process may have too few file descriptors",
            metadata: [
                "connections": "\(self.limits.connections)", "native": "\(self.native?.limits.connections ?? 0)",
                "descriptors": "\(descriptors)", "remedy": "allow \(wanted) (LimitNOFILE=, ulimit -Hn)",
            ])
    }
}

/// Bounds on what peers can make a key holder hold.
public struct KeyHolderLimits: Hashable, Sendable {
    /// Edges connected at once.
    public var connections: Int = 1024
    /// Connections of one edge at once.
    public var connectionsPerEdge: Int = 256
    /// Connections that have not finished their TLS handshake. They don't count as connected, and never keep newer ones out:
    /// beyond this, the oldest one from the address with most of them is closed.
    public var handshakes: Int = 256
    /// The same from one IPv4 address or IPv6 /64.
    public var handshakesPerAddress: Int = 64
    /// Slow requests under way on one connection; those beyond are answered with an error.
    public var inFlight: Int = 4096
    /// Slow requests of one edge under way, on all its connections; as many more may wait for event loops, and twice as many if
    /// they go on with handshakes. All edges together may have half of ``auditQueue``, so
    /// that operations in place always find room.
    public var inFlightPerEdge: Int = 8192
    /// TLS handshakes with clients under way for one edge, on all its connections: from their begin to the export of their session. All
    /// edges together may have a quarter of ``auditQueue``, since each holds an audit line, and some 60 kB, for as long.
    public var clientHandshakesPerEdge: Int = 4096
    /// For a TLS handshake with a client, from its begin to the export of its session.
    public var clientHandshakeTimeout: TimeAmount = .seconds(15)
    /// For what an edge without a grant asks first, so that it can be told.
    var turnAwayTimeout: TimeAmount = .seconds(2)
    /// For the TLS handshake with an edge.
    public var handshakeTimeout: TimeAmount = .seconds(10)
    /// Without a byte from the edge. Edges of this project send pings.
    public var idleTimeout: TimeAmount = .minutes(5)
    /// For requests under way when shutting down.
    public var drainTimeout: TimeAmount = .seconds(5)
    /// For what is under way when another process takes over. Edges wait meanwhile: less than their deadline by default.
    var handOverTimeout: TimeAmount = .seconds(1)
    /// For handshakes that wait for their clients when a connection is to end.
    var lastTurnsTimeout: TimeAmount = .seconds(1)
    /// Packets per second of one edge, on all its connections, pings included. 8 KiB that are read count as a packet, and
    /// so do 10 µs that taking packets in took. Beyond this, after a burst of a tenth of that, its connections are read more slowly.
    public var packetsPerEdge: Int = 50_000
    /// The same for pings, with bursts of twice as many.
    public var pingsPerEdge: Int = 1000
    /// Refused requests per second of one edge, on all its connections, with bursts of twice as many, before those on which
    /// they come are read more slowly. What the edge's clients bring about does not count.
    public var refusals: Int = 500
    /// The longest time for which a connection is not read from then, before there is another look.
    var longestPause: TimeAmount = .milliseconds(200)
    /// For a request that has no deadline of its own, from its arrival.
    public var requestDeadline: TimeAmount = .seconds(2)
    /// The most that a request's own deadline counts for.
    var longestDeadline: TimeAmount = .seconds(30)
    /// Audit lines reserved or waiting to be written.
    public var auditQueue: Int = 65_536
    /// Threads for slow key operations; nil: one per core.
    public var signingThreads: Int?

    public init() {}
}

/// Why a key holder cannot start. The text says what to do.
public enum KeyHolderError: Error, Equatable, Sendable, CustomStringConvertible {
    case wrongRole(PeerIdentity)
    case noListenAddress
    /// The reason, with what helps.
    case cannotListen(String)
    /// A name and an address: systemd passes it, and the configuration does not have it.
    case unusedSocket(String, String)
    case tls(String)
    /// Another process is taking over.
    case handingOver
    /// It must be written before another process goes on with it.
    case auditClosed

    public var description: String {
        switch self {
        case .wrongRole(let identity):
            "the identity is \(identity), but a key holder needs one in the role keyholder; make one with `latchstring certs`"
        case .noListenAddress: "no address to listen on, and no edge to dial; name one"
        case .cannotListen(let reason): reason
        case .unusedSocket(let name, let address):
            "systemd passes a socket at \(address) (\(name)), where nothing in the configuration listens; write the same address there, or remove it from the .socket unit"
        case .auditClosed: "the audit log cannot be written now; the log says why"
        case .handingOver: "this key holder is being handed over to another process; ask again in a moment"
        case .tls(let reason): "the identity cannot be used for TLS: \(reason)"
        }
    }
}
