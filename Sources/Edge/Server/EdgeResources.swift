import CacheStorage
import Channels
import EdgeHTTP
import EdgeModel
import EdgeRelay
import EdgeTLS
import Logging
import NIOCore
import PeerLink
import Stapling
import Telemetry

/// What all event loops share until the next reload: what the HTTP part of each site needs, and what outlives reloads.
struct EdgeResources: Sendable {
    let shared: EdgeShared
    /// By the site's name; only sites whose TLS ends here.
    let proxies: [String: ProxySite]
    /// The same for requests that come without TLS; empty where none do.
    let plainProxies: [String: ProxySite]
    let plainLimits: ProxyLimits
    /// By the site's name, for the same sites as ``proxies``.
    let leases: [String: LeasedDomains]
    /// The same for sites with OCSP responses.
    let staples: [String: StapleFiles]
    /// Where native clients are forwarded to, by the key holder's name.
    let nativeHolders: [String: StreamLinks.Configuration]

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
        // One request on a connection, and time for it as for a hello.
        var plainLimits = limits
        plainLimits.requestsPerConnection = 1
        plainLimits.firstRequestTimeout = configuration.limits.helloTimeout
        var proxies: [String: ProxySite] = [:]
        var plainProxies: [String: ProxySite] = [:]
        var leases: [String: LeasedDomains] = [:]
        var staples: [String: StapleFiles] = [:]
        let ownership = NameOwnership(configuration.sites)
        for (index, site) in configuration.sites.enumerated() {
            if case .relay(let relay) = site.mode, let http = relay.http, configuration.plain != nil {
                plainProxies[site.name] = try ProxySite(
                    name: site.name, domains: site.domains,
                    namesOfOtherSites: ownership.namesOfOthers(underSite: index), edgeName: configuration.edgeName,
                    origin: OriginConfiguration(scheme: .http, host: http.host, port: http.port), limits: plainLimits,
                    trustedProxies: configuration.trustedProxies, scheme: "http", logger: shared.logger, group: group,
                    turns: shared.turns)
            }
            guard let termination = site.mode.termination else { continue }
            guard configuration.credentials != nil else { throw EdgeError.noCredentials(site: site.name) }
            var origin = termination.origin
            origin.minimumRate = configuration.limits.minimumRate
            origin.rateWindow = configuration.limits.minimumRateWindow
            let leased = LeasedDomains(site.domains)
            leases[site.name] = leased
            if !termination.ocspResponses.isEmpty {
                // Not on an event loop: they are there when the first client comes.
                let files = StapleFiles(termination.ocspResponses)
                files.read()
                staples[site.name] = files
            }
            proxies[site.name] = try ProxySite(
                name: site.name, domains: site.domains, namesOfOtherSites: ownership.namesOfOthers(underSite: index),
                edgeName: configuration.edgeName, origin: origin, limits: limits,
                trustedProxies: configuration.trustedProxies, isServedNow: { leased.serves($0) },
                accessLog: shared.accessLog, naming: configuration.naming,
                responseFields: termination.responseFields, cache: termination.cache, store: shared.store,
                logger: shared.logger,
                group: group, turns: shared.turns)
            guard configuration.plain != nil else { continue }
            // Nothing is stored of it, and the site's fields are for HTTPS (RFC 6797 §7.2).
            plainProxies[site.name] = try ProxySite(
                name: site.name, domains: site.domains, namesOfOtherSites: ownership.namesOfOthers(underSite: index),
                edgeName: configuration.edgeName, origin: origin, limits: plainLimits,
                trustedProxies: configuration.trustedProxies, scheme: "http", accessLog: shared.accessLog,
                naming: configuration.naming, logger: shared.logger, group: group, turns: shared.turns)
        }
        self.proxies = proxies
        self.plainProxies = plainProxies
        self.plainLimits = plainLimits
        self.leases = leases
        self.staples = staples
        self.nativeHolders = configuration.nativeHolders
    }

    func shutdown() {
        for proxies in [self.proxies, self.plainProxies] { for proxy in proxies.values { proxy.shutdown() } }
    }
}
