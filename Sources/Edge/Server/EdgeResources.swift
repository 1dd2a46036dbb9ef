import CacheStorage
import Channels
import EdgeHTTP
import EdgeModel
import Logging
import NIOCore
import PeerLink
import Telemetry

/// What all event loops share until the next reload: what the HTTP part of each site needs, and what outlives reloads.
struct EdgeResources: Sendable {
    let shared: EdgeShared
    /// By the site's name; only sites whose TLS ends here.
    let proxies: [String: ProxySite]
    /// By the site's name, for the same sites.
    let leases: [String: LeasedDomains]

    var relay: RelayConnector { self.shared.relay }
    var clients: ClientConnections { self.shared.clients }
    var gate: HandshakeGate { self.shared.gate }
    var reports: ReportLog { self.shared.reports }

    init(configuration: EdgeConfiguration, shared: EdgeShared, group: any EventLoopGroup) throws {
        self.shared = shared
        var limits = ProxyLimits()
        limits.maximumHeadBytes = configuration.limits.requestHeadBytes
        limits.idleTimeout = configuration.limits.idle
        limits.minimumRate = configuration.limits.minimumRate
        limits.rateWindow = configuration.limits.minimumRateWindow
        var proxies: [String: ProxySite] = [:]
        var leases: [String: LeasedDomains] = [:]
        let ownership = NameOwnership(configuration.sites)
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
                accessLog: shared.accessLog, naming: configuration.naming,
                cache: termination.cache, store: shared.store, logger: shared.logger,
                group: group, turns: shared.turns)
        }
        self.proxies = proxies
        self.leases = leases
    }

    func shutdown() {
        for proxy in self.proxies.values { proxy.shutdown() }
    }
}
