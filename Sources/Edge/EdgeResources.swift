import CacheStorage
import Channels
import EdgeHTTP
import EdgeModel
import Logging
import NIOCore
import PeerLink
import Telemetry

/// What all event loops of an edge share: the relay's resolvers, and what the HTTP part of each site needs.
struct EdgeResources: Sendable {
    let relay: RelayConnector
    /// By the site's name; only sites whose TLS ends here.
    let proxies: [String: ProxySite]
    /// By the site's name, for the same sites.
    let leases: [String: LeasedDomains]

    /// nil where no site stores anything.
    let store: ResponseStore?
    let clients: ClientConnections
    let gate: HandshakeGate
    let reports: ReportLog

    /// - Parameter connections: how many clients may be connected at once; by default what the configuration says.
    init(
        configuration: EdgeConfiguration, connections: Int? = nil, store: ResponseStore? = nil,
        group: any EventLoopGroup,
        logger: Logger
    ) throws {
        let clock = group.next()
        self.clients = ClientConnections(
            configuration.connectionBounds(total: connections ?? configuration.limits.connections))
        var bounds = HandshakeGate.Bounds()
        bounds.perClient = configuration.limits.handshakesPerClient
        bounds.deadlines = configuration.keyHolders.mapValues(\.deadline)
        self.gate = HandshakeGate(bounds, clock: clock)
        self.reports = ReportLog(logger, clock: clock)
        var limits = ProxyLimits()
        limits.maximumHeadBytes = configuration.limits.requestHeadBytes
        limits.idleTimeout = configuration.limits.idle
        limits.minimumRate = configuration.limits.minimumRate
        limits.rateWindow = configuration.limits.minimumRateWindow
        self.store = store
        var proxies: [String: ProxySite] = [:]
        var leases: [String: LeasedDomains] = [:]
        let ownership = NameOwnership(configuration.sites)
        let turns = GroupTurns(group: group)
        for (index, site) in configuration.sites.enumerated() {
            guard let termination = site.mode.termination else { continue }
            guard configuration.credentials != nil else { throw EdgeError.noCredentials(site: site.name) }
            var origin = termination.origin
            origin.minimumRate = configuration.limits.minimumRate
            origin.rateWindow = configuration.limits.minimumRateWindow
            let leased = LeasedDomains(site.domains)
            leases[site.name] = leased
            proxies[site.name] = try ProxySite(
                name: site.name, domains: site.domains, namesOfOtherSites: ownership.namesOfOthers(underSite: index),
                edgeName: configuration.edgeName, origin: origin, limits: limits,
                trustedProxies: configuration.trustedProxies, isServedNow: { leased.serves($0) },
                cache: termination.cache, store: store, logger: logger,
                group: group, turns: turns)
        }
        self.proxies = proxies
        self.leases = leases
        self.relay = RelayConnector(limits: configuration.helloLimits, reports: self.reports)
    }

    func shutdown() {
        self.relay.shutdown()
        for proxy in self.proxies.values { proxy.shutdown() }
    }
}
