import Admission
import Edge
import NIOCore
import PeerLink
import Settings
import TLSWire

/// From what an edge's file says to what the edge is told.
extension EdgeConfiguration {
    init(_ settings: EdgeSettings) throws {
        self.init(
            listen: settings.listen.map { ListenAddress($0) },
            sites: try settings.sites.map { try Self.site($0, cache: settings.cache) })
        self.cache = EdgeCacheConfiguration(settings.cache)
        if let identity = settings.identity {
            let credentials = try PeerCredentials(
                chainFile: identity.certificate, keyFile: identity.key, authorityFile: identity.authority)
            guard credentials.identity.role == .edge else {
                throw PeerIdentityError.wrongRole(expected: .edge, got: credentials.identity)
            }
            self.credentials = credentials
        }
        for entry in settings.keyHolders {
            self.keyHolders[entry.name] = try KeyHolderPool.Configuration(entry)
            self.nativeAddresses[entry.name] = entry.native.map { PeerAddress(host: $0.host, port: $0.port) }
        }
        self.trustedProxies = settings.trustedProxies
        self.defaultSite = settings.defaultSite
        self.limits.connections = settings.limits.connections
        self.limits.helloBytes = settings.limits.helloBytes
        self.limits.helloTimeout = TimeAmount(settings.limits.helloTimeout)
        self.limits.handshakeTimeout = TimeAmount(settings.limits.handshakeTimeout)
        self.limits.idle = TimeAmount(settings.limits.idle)
        self.limits.requestHeadBytes = settings.limits.requestHeadBytes
        self.limits.connectionsPerClient = settings.limits.connectionsPerClient
        self.limits.handshakesPerClient = settings.limits.handshakesPerClient
        self.limits.exempt = settings.limits.exempt
        self.limits.ipv6PrefixLength = settings.limits.ipv6Prefix
        self.limits.minimumRate = settings.limits.minimumRate
        self.limits.minimumRateWindow = TimeAmount(settings.limits.minimumRateWindow)
        if let threads = settings.threads { self.threads = threads }
    }

    private static func site(_ site: EdgeSettings.Site, cache: EdgeCacheSettings) throws -> Site {
        func termination(_ keyHolder: String, _ origin: EdgeSettings.WebOrigin) -> TerminationConfiguration {
            var termination = TerminationConfiguration(
                keyHolder: keyHolder, origin: OriginConfiguration(origin),
                cache: site.cache.flatMap { SiteCacheConfiguration($0, edge: cache) })
            termination.http2 = site.http2
            termination.minimumTLSVersion = site.tls.minimumVersion.number
            termination.ticketLifetime = TimeAmount(site.tls.ticketLifetime)
            return termination
        }
        let mode: SiteMode =
            switch site.mode {
            case .keyless(let keyHolder, let origin): .keyless(termination(keyHolder, origin))
            case .handoff(let keyHolder, let origin): .handoff(termination(keyHolder, origin))
            case .relay(let origin): .relay(RelayConfiguration(origin))
            }
        var result = Site(domains: site.domains, mode: mode, native: site.native)
        result.connections = site.connections.map { bound in
            switch bound {
            case .number(let number): .number(number)
            case .percent(let percent): .percent(percent)
            }
        }
        return result
    }
}

extension EdgeConfiguration.ListenAddress {
    init(_ listener: EdgeSettings.Listener) {
        self.init(
            host: listener.endpoint.host, port: listener.endpoint.port,
            policy: listener.proxyProtocolFrom.map { .proxies($0, servesOthers: listener.servesOthers) } ?? .clients)
    }
}

extension KeyHolderPool.Configuration {
    init(_ entry: EdgeSettings.KeyHolderEntry) throws {
        self.init(
            expected: try PeerIdentity(role: .keyholder, name: entry.identityName),
            addresses: entry.addresses.map { PeerAddress(host: $0.host, port: $0.port) })
        self.deadline = TimeAmount(entry.deadline)
        self.inFlightLimit = entry.inFlight
    }
}

extension RelayConfiguration {
    init(_ origin: EdgeSettings.RelayOrigin) {
        let destination: Edge.RelayOrigin =
            switch origin.destination {
            case .address(let endpoint): .fixed(host: endpoint.host, port: UInt16(clamping: endpoint.port))
            case .resolve(let ports, let allowPrivate):
                .resolve(ports: ports.map { UInt16(clamping: $0) }, allowPrivate: allowPrivate)
            }
        let proxyProtocol: ProxyProtocolVersion =
            switch origin.proxyProtocol {
            case .none: .none
            case .v1: .v1
            case .v2: .v2
            }
        self.init(
            origin: destination, proxyProtocol: proxyProtocol, connectTimeout: TimeAmount(origin.connect),
            idleTimeout: TimeAmount(origin.idle), lifetime: TimeAmount(origin.lifetime))
    }
}

extension OriginConfiguration {
    init(_ origin: EdgeSettings.WebOrigin) {
        self.init(
            scheme: origin.url.scheme == .https ? .https : .http, host: origin.url.host, port: origin.url.port)
        self.tlsName = origin.name?.rawValue
        if let roots = origin.roots { self.trustRoots = .file(roots) }
        self.connectTimeout = TimeAmount(origin.connect)
        self.responseTimeout = TimeAmount(origin.response)
        self.idleTimeout = TimeAmount(origin.idle)
        self.maximumConnectionAge = TimeAmount(origin.lifetime)
        self.clientShare = origin.sharePerClient
    }
}
