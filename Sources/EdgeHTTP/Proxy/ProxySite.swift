public import Admission
public import CacheStorage
public import Channels
public import EdgeModel
public import HTTPCaching
package import HTTPForwarding
public import Logging
public import Metrics
public import NIOCore
public import NIOPosix
public import TLSWire
public import Telemetry

/// What the HTTP part of one site needs: made once, shared by its connections on all event loops.
///
/// Metrics: `latchstring_edge_requests_total{site,status}` (status by class, `2xx`), `latchstring_edge_request_seconds{site}`,
/// `latchstring_edge_origin_failures_total{site,cause}`.
public final class ProxySite: Sendable {
    /// For logs and metrics.
    public let name: String
    public let limits: ProxyLimits
    /// Told of each request; nil: there is none.
    let accessLog: AccessLogWriter?
    package let policy: ForwardingPolicy
    private let trustedProxies: [IPNetwork]
    let responses: ResponseRules
    let origins: OriginClients
    let turns: GroupTurns
    let metrics: ProxyMetrics
    /// Made to every answer.
    let responseFields: FieldEdits
    /// nil: everything comes from the origin.
    let cache: SiteCache?

    /// - Parameters:
    ///   - domains: a request for another host gets 421.
    ///   - namesOfOtherSites: names under this site's wildcards that other sites listed exactly; 421 as well.
    ///   - edgeName: what this edge calls itself in `Via`: 1...64 token characters.
    ///   - isServedNow: whether a name under the domains is leased now; asked on any event loop. nil: all of them, always.
    ///   - trustedProxies: whose `Forwarded` and `X-Forwarded-*` are added to; those of others are replaced.
    ///   - naming: who is told what requests are called.
    ///   - responseFields: made to every answer: the origin's, stored ones, and the edge's own.
    ///   - cache: what is stored; nil: nothing.
    ///   - store: where; shared by the edge's sites.
    ///   - clock: milliseconds since 1970 UTC, for the caching rules.
    ///   - group: the event loops on which client connections live.
    ///   - turns: the same for all sites of these loops.
    ///   - resolver: asked for the origin's addresses, for each new connection; nil: the system's.
    /// - Throws: if the origin's trust roots can't be read.
    public init(
        name: String, domains: [ServerNamePattern], namesOfOtherSites: Set<ServerName> = [], edgeName: String,
        origin: OriginConfiguration, limits: ProxyLimits = ProxyLimits(),
        trustedProxies: [IPNetwork] = [], isServedNow: (@Sendable (ServerName) -> Bool)? = nil,
        scheme: String = "https", accessLog: AccessLogWriter? = nil, naming: RequestNaming = .off,
        responseFields: FieldEdits = FieldEdits(),
        cache: SiteCacheConfiguration? = nil, store: ResponseStore? = nil,
        clock: (@Sendable () -> Int64)? = nil, logger: Logger = Logger(label: "edge"), group: any EventLoopGroup,
        turns: GroupTurns? = nil, resolver: (any Resolver & Sendable)? = nil,
        metrics: any MetricsFactory = MetricsSystem.factory
    ) throws {
        self.name = name
        self.limits = limits
        self.accessLog = accessLog
        self.trustedProxies = trustedProxies
        var policy = ForwardingPolicy(
            domains: domains, namesOfOtherSites: namesOfOtherSites, pseudonym: edgeName, scheme: scheme,
            maximumTargetBytes: limits.maximumTargetBytes)
        if let isServedNow { policy.isServedNow = isServedNow }
        if naming != .off { policy.newRequestID = { RequestNumbers.shared.next() } }
        policy.showsRequestID = naming == .client
        self.policy = policy
        self.responses = ResponseRules(
            pseudonym: edgeName,
            origin: origin.rewritesLocation
                ? OriginAddress(scheme: origin.scheme.rawValue, host: origin.host, port: origin.port) : nil)
        self.origins = try OriginClients(
            configuration: origin, site: name, group: group, resolver: resolver, metrics: metrics)
        self.turns = turns ?? GroupTurns(group: group)
        self.metrics = ProxyMetrics(site: name, factory: metrics)
        self.responseFields = responseFields
        if var cache, let store {
            if !responseFields.isEmpty { cache.policy.defaults.responseFields = responseFields }
            self.cache = SiteCache(
                site: name, scheme: scheme, configuration: cache,
                status: cache.reportsStatus ? CacheStatus(name: edgeName) : nil, store: store,
                responses: self.responses, metrics: CacheMetrics(site: name, factory: metrics),
                logger: logger,
                clock: clock ?? CacheClock.now)
        } else {
            self.cache = nil
        }
    }

    /// Whether each request has a line in the access log.
    public var logsRequests: Bool { self.accessLog?.isOn ?? false }

    /// The rules for the requests of one connection.
    func rules(for connection: ProxyContext) -> RequestRules {
        var policy = self.policy
        if !self.trustedProxies.isEmpty, let address = connection.clientAddress.flatMap(IPAddress.init),
            self.trustedProxies.contain(address)
        {
            policy.clientClaims = .append
        }
        return RequestRules(policy: policy, serverName: connection.serverName, client: connection.clientNode)
    }

    /// What is wrong with the origin, if the last request to it got no answer.
    package var originTrouble: OriginTrouble? { self.origins.standing.current }

    /// Closes idle connections to the origin and keeps none from now on. Requests under way go on.
    public func shutdown() {
        self.origins.shutdown()
    }
}

/// One client connection of a site, after TLS was set up.
public struct ProxyContext: Sendable {
    public var site: ProxySite
    /// The name that the client asked for; HTTP/1.0 requests without `Host` are taken to mean it.
    public var serverName: ServerName
    public var clientAddress: SocketAddress?
    /// The network whose share of the origin's connections is used; nil if it has no bound.
    public var network: ClientNetwork?
    /// The number of the connection, for log lines.
    public var connection: UInt64?
    public var logger: Logger
    /// How TLS ends here, and what the client and its other end agreed on; for the access log.
    public var mode: String?
    public var tls: ClientTLS?
    /// Told when the connection works, and when it rests.
    package var place: ClientPlace?

    public init(
        site: ProxySite, serverName: ServerName, clientAddress: SocketAddress?, connection: UInt64? = nil,
        logger: Logger
    ) {
        self.site = site
        self.serverName = serverName
        self.clientAddress = clientAddress
        self.connection = connection
        self.logger = logger
    }

    var clientNode: ClientNode {
        guard let clientAddress, let address = IPAddress(clientAddress)?.unmapped else { return .unknown }
        return switch address {
        case .v4: .ipv4("\(address)")
        case .v6: .ipv6("\(address)")
        }
    }
}
