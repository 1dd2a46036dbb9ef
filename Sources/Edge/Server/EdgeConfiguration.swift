public import Admission
public import EdgeModel
import EdgeRelay
import EdgeTLS
public import FleetLink
public import NIOCore
public import PeerLink
public import TLSWire

/// Everything an edge is told: where it listens, which sites it serves, which key holders it may ask.
public struct EdgeConfiguration: Sendable {
    public var listen: [ListenAddress]
    /// Where clients connect without TLS, and what they get there; nil: nowhere.
    public var plain: PlainConfiguration?
    /// Where key holders connect that open no port; their policy is ``ListenerPolicy/keyHolders``.
    public var keyHolderListen: [ListenAddress] = []
    /// This edge's own identity towards key holders; needed where a site is keyless.
    public var credentials: PeerCredentials?
    /// The key holders by the name that sites refer to.
    public var keyHolders: [String: KeyHolderPool.Configuration]
    /// Where key holders take native connections, by the name that sites refer to.
    public var nativeAddresses: [String: [PeerAddress]]
    /// Key holders that take them over connections that they open to this edge.
    public var nativeDialled: Set<String>
    public var sites: [Site]
    /// The site that serves clients which send no server name.
    public var defaultSite: ServerName?
    /// Who is told what requests are called.
    public var naming = RequestNaming.off
    public var limits: EdgeLimits
    /// Networks of HTTP proxies in front of this edge, whose `Forwarded` and `X-Forwarded-*` are added to. They have no bounds
    /// for one client, as if they stood in `EdgeLimits.exempt`.
    public var trustedProxies: [IPNetwork] = []
    /// Where responses are stored.
    public var cache: EdgeCacheConfiguration
    /// The fleet whose purges this edge follows; nil: none.
    public var fleet: FleetMembership?
    /// How long connections may go on after a shutdown was asked for, or another process has taken over.
    public var drain = TimeAmount.seconds(10)
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
        self.nativeDialled = []
        self.limits = EdgeLimits()
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

    /// Where native clients are forwarded to, by the key holder's name. Each has one budget for windows: ask once for all event loops.
    var nativeHolders: [String: StreamLinks.Configuration] {
        var holders: [String: StreamLinks.Configuration] = [:]
        for (name, keyHolder) in self.keyHolders {
            let addresses = self.nativeAddresses[name] ?? []
            let dialledBy = self.nativeDialled.contains(name) ? keyHolder.dialledBy : []
            guard !addresses.isEmpty || !dialledBy.isEmpty else { continue }
            holders[name] = StreamLinks.Configuration(
                expected: keyHolder.expected, addresses: addresses, dialledBy: dialledBy)
        }
        return holders
    }

    /// The name in `Via` and in log lines: the identity's, or `latchstring`.
    public var edgeName: String { self.credentials?.identity.name ?? "latchstring" }
}
