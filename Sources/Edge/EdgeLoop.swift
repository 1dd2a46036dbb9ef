import Logging
import Metrics
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import TLSWire

/// All that one event loop owns: its clients, its links to key holders, its certificates and origin connections.
///
/// Bound to its event loop. Nothing here is shared, so nothing here is locked.
final class EdgeLoop {
    private let eventLoop: any EventLoop
    private let configuration: EdgeConfiguration
    private let table: SiteTable
    private let resources: EdgeResources
    private let logger: Logger
    private let helloLimits: HelloLimits
    private let pools: [String: KeyHolderPool]
    private var keylessSites: [String: KeylessSite] = [:]
    private var keylessDomains = ServerNameTable<KeylessDomain>()
    private var keepers: [ServerNamePattern: CertificateKeeper] = [:]
    private let connectionLimit: Int
    private var connections: [ObjectIdentifier: any Channel] = [:]
    /// The number of the next connection. Loops count in steps of their count, so that numbers are the process's own.
    private var nextConnection: UInt64
    private let overLimit = Counter(label: "latchstring_edge_connections_refused_total")
    private let open: Meter
    private var draining = false
    /// Tells the loop that keeps the certificates that one is outdated.
    private var onOutdated: (ServerNamePattern) -> Void = { _ in }

    /// What the connections of one keyless site share on this loop.
    private final class KeylessSite {
        let site: Site
        let report: KeylessReport
        let proxy: ProxySite

        init(site: Site, report: KeylessReport, proxy: ProxySite) {
            self.site = site
            self.report = report
            self.proxy = proxy
        }
    }

    init(
        eventLoop: any EventLoop, index: Int, configuration: EdgeConfiguration, table: SiteTable, tls: NIOSSLContext?,
        resources: EdgeResources, logger: Logger
    ) throws {
        self.eventLoop = eventLoop
        self.configuration = configuration
        self.table = table
        self.resources = resources
        self.logger = logger
        self.helloLimits = configuration.helloLimits
        let threads = max(1, configuration.threads)
        self.connectionLimit = max(1, (configuration.limits.connections + threads - 1) / threads)
        self.nextConnection = UInt64(index + 1)
        self.open = Meter(label: "latchstring_edge_connections", dimensions: [("loop", "\(index)")])
        var pools: [String: KeyHolderPool] = [:]
        if let tls {
            for (name, configuration) in configuration.keyHolders {
                pools[name] = KeyHolderPool(
                    configuration: configuration, tls: tls, eventLoop: eventLoop, logger: logger)
            }
        }
        self.pools = pools
        for site in configuration.sites {
            guard case .keyless(let keyless) = site.mode else { continue }
            guard let pool = pools[keyless.keyHolder] else {
                throw EdgeError.unknownKeyHolder(site: site.name, keyHolder: keyless.keyHolder)
            }
            guard let proxy = resources.proxies[site.name] else { continue }
            self.keylessSites[site.name] = KeylessSite(
                site: site, report: KeylessReport(site: site.name, logger: logger), proxy: proxy)
            for pattern in site.domains {
                _ = self.keylessDomains.insert(KeylessDomain(pattern: pattern, pool: pool), for: pattern)
            }
        }
    }

    /// Connects to the key holders.
    func start(onOutdated: @escaping @Sendable (ServerNamePattern) -> Void) {
        self.onOutdated = onOutdated
        for pool in self.pools.values { pool.start() }
    }

    // MARK: Certificates

    /// Fetches the certificates of all keyless domains and keeps them fresh; on one loop only.
    func startKeepers(publish: @escaping (ServerNamePattern, CertificateKeeper.News) -> Void) {
        for site in self.keylessSites.values {
            for pattern in site.site.domains {
                guard case .keyless(let keyless) = site.site.mode, let pool = self.pools[keyless.keyHolder] else {
                    continue
                }
                let keeper = CertificateKeeper(
                    pattern: pattern, pool: pool, refreshInterval: self.configuration.certificateRefresh,
                    logger: self.logger, publish: { publish(pattern, $0) })
                self.keepers[pattern] = keeper
                keeper.start()
            }
        }
    }

    /// A certificate, or the key holder's refusal, for a domain.
    func received(_ news: CertificateKeeper.News, for pattern: ServerNamePattern) {
        guard let name = CertificateKeeper.representative(of: pattern),
            let domain = self.keylessDomains.value(for: name)
        else { return }
        switch news {
        case .certificate(let certificate): domain.update(.ready(certificate))
        case .refused(let why): domain.update(.refused(why))
        }
    }

    /// A handshake on some loop found that the key holder no longer signs for the certificate shown.
    func refreshCertificate(of pattern: ServerNamePattern) { self.keepers[pattern]?.refreshSoon() }

    // MARK: Connections

    /// A new client.
    func accept(_ channel: any Channel) throws {
        guard self.connections.count < self.connectionLimit, !self.draining else {
            self.overLimit.increment()
            throw EdgeError.tooManyConnections
        }
        let id = ObjectIdentifier(channel)
        self.connections[id] = channel
        self.open.set(self.connections.count)
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            self.connections[id] = nil
            self.open.set(self.connections.count)
        }
        try channel.pipeline.syncOperations.addHandler(
            HelloHandler(
                connection: self.nextConnection, table: self.table, limits: self.helloLimits, logger: self.logger
            ) { self.serve($0) })
        self.nextConnection += UInt64(max(1, self.configuration.threads))
    }

    private func serve(_ handOver: HelloHandOver) {
        switch handOver.site.mode {
        case .relay(let relay): self.resources.relay.relay(handOver, configuration: relay)
        case .keyless: self.serveKeyless(handOver)
        }
    }

    private func serveKeyless(_ handOver: HelloHandOver) {
        guard let site = self.keylessSites[handOver.site.name],
            let name = handOver.serverName ?? self.configuration.defaultSite,
            let domain = self.keylessDomains.value(for: name)
        else { return handOver.channel.close(promise: nil) }
        if let certificate = domain.current {
            return self.shakeHands(handOver, name: name, site: site, domain: domain, certificate: certificate)
        }
        domain.certificate().assumeIsolated().whenComplete { result in
            guard handOver.channel.isActive else { return }
            switch result {
            case .success(let certificate):
                self.shakeHands(handOver, name: name, site: site, domain: domain, certificate: certificate)
            case .failure(let error):
                site.report.failed(error, of: handOver)
                LingeringCloseHandler.begin(
                    on: handOver.channel, sending: Alert(.internalError).record(), limits: self.helloLimits)
            }
        }
    }

    private func shakeHands(
        _ handOver: HelloHandOver, name: ServerName, site: KeylessSite, domain: KeylessDomain,
        certificate: SiteCertificate
    ) {
        let channel = handOver.channel
        let peer = channel.remoteAddress
        let handshake = KeylessHandshake(
            serverName: name, clientIP: peer.flatMap(IPAddress.init)?.unmapped.bytes, pool: domain.pool,
            onOutdated: { self.onOutdated(domain.pattern) })
        let session = KeylessSession(
            timeout: self.configuration.limits.handshakeTimeout,
            outcome: { site.report.record($0, of: handOver) },
            established: { channel, _ in
                try HTTP1Proxy.install(
                    on: channel,
                    context: ProxyContext(
                        site: site.proxy, serverName: name, clientAddress: peer, connection: handOver.connection,
                        logger: self.logger))
                channel.pipeline.syncOperations.removeHandler(handshake, promise: nil)
            })
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandlers([handshake, NIOSSLServerHandler(context: certificate.context), session])
            channel.pipeline.fireChannelRead(handOver.receivedBytes)
            channel.pipeline.fireChannelReadComplete()
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            site.report.failed(error, of: handOver)
            channel.close(promise: nil)
        }
    }

    // MARK: Shutdown

    /// Takes no more clients, waits for those there are, then closes what is left.
    func drain(for time: TimeAmount) -> EventLoopFuture<Void> {
        self.draining = true
        for keeper in self.keepers.values { keeper.stop() }
        let done = self.eventLoop.makePromise(of: Void.self)
        let deadline = NIODeadline.now() + time
        self.checkDrained(deadline: deadline, done: done)
        return done.futureResult
    }

    private func checkDrained(deadline: NIODeadline, done: EventLoopPromise<Void>) {
        if self.connections.isEmpty || NIODeadline.now() >= deadline {
            for channel in self.connections.values { channel.close(promise: nil) }
            for pool in self.pools.values { pool.stop() }
            return done.succeed()
        }
        self.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(50)) {
            self.checkDrained(deadline: deadline, done: done)
        }
    }
}

/// What keeps an edge from starting, or a client from being served.
public enum EdgeError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownKeyHolder(site: String, keyHolder: String)
    case noCredentials(site: String)
    case tooManyConnections

    public var description: String {
        switch self {
        case .unknownKeyHolder(let site, let keyHolder):
            "the site \(site) names the key holder \(keyHolder), which is not configured"
        case .noCredentials(let site): "the site \(site) is keyless, but the edge has no identity for key holders"
        case .tooManyConnections: "the limit of connections is reached"
        }
    }
}
