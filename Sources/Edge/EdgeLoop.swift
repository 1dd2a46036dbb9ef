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
    let configuration: EdgeConfiguration
    private let table: SiteTable
    private let resources: EdgeResources
    let logger: Logger
    let helloLimits: HelloLimits
    private let pools: [String: KeyHolderPool]
    private let native: NativeForwarder
    /// By the site's name.
    private(set) var terminatedSites: [String: TerminatedSite] = [:]
    private(set) var keylessDomains = ServerNameTable<KeylessDomain>()
    private var keepers: [ServerNamePattern: CertificateKeeper] = [:]
    private let connectionLimit: Int
    private var connections: [ObjectIdentifier: any Channel] = [:]
    /// The number of the next connection. Loops count in steps of their count, so that numbers are the process's own.
    private var nextConnection: UInt64
    private let overLimit = Counter(label: "latchstring_edge_connections_refused_total")
    private let open: Meter
    private var draining = false
    /// Tells the loop that keeps the certificates that one is outdated.
    private(set) var onOutdated: (ServerNamePattern) -> Void = { _ in }

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
        self.native = NativeForwarder(
            eventLoop: eventLoop, configuration: configuration, tls: tls, logger: logger)
        for site in configuration.sites {
            guard let termination = site.mode.termination else { continue }
            guard let pool = pools[termination.keyHolder] else {
                throw EdgeError.unknownKeyHolder(site: site.name, keyHolder: termination.keyHolder)
            }
            guard let proxy = resources.proxies[site.name] else { continue }
            self.terminatedSites[site.name] = TerminatedSite(
                site: site, configuration: termination, pool: pool,
                report: HandshakeReport(site: site.name, mode: site.mode.word, logger: logger), proxy: proxy)
            guard case .keyless = site.mode else { continue }
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

    /// Fetches the certificates of all domains of terminated sites and keeps them fresh; on one loop only.
    func startKeepers(publish: @escaping (ServerNamePattern, CertificateKeeper.News) -> Void) {
        for site in self.terminatedSites.values {
            for pattern in site.site.domains {
                let keeper = CertificateKeeper(
                    pattern: pattern, mode: site.site.mode.word,
                    applicationProtocols: site.configuration.applicationProtocols, pool: site.pool,
                    refreshInterval: self.configuration.certificateRefresh,
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
        case .granted: break
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
            ) {
                self.serve($0)
            } handOverNative: {
                self.native.forward($0)
            })
        self.nextConnection += UInt64(max(1, self.configuration.threads))
    }

    private func serve(_ handOver: HelloHandOver) {
        switch handOver.site.mode {
        case .relay(let relay): self.resources.relay.relay(handOver, configuration: relay)
        case .keyless: self.serveKeyless(handOver)
        case .handoff: self.serveHandoff(handOver)
        }
    }

    // MARK: Shutdown

    /// Takes no more clients, waits for those there are, then closes what is left.
    func drain(for time: TimeAmount) -> EventLoopFuture<Void> {
        self.draining = true
        for keeper in self.keepers.values { keeper.stop() }
        // HTTP tells its clients, and closes what is idle; relayed connections are their origin's business.
        for channel in self.connections.values {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
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
        case .noCredentials(let site): "the site \(site) uses a key holder, but the edge has no identity for it"
        case .tooManyConnections: "the limit of connections is reached"
        }
    }
}
