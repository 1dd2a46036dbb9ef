import Admission
import Channels
import EdgeModel
import EdgeRelay
import EdgeTLS
import Logging
import Metrics
import NIOCore
import NIOPosix
import NIOSSL
import NativeHandshake
import PeerLink
import TLSWire

/// All that one event loop owns in one generation: its clients, its links to key holders, its certificates and origin connections.
///
/// Bound to its event loop. Nothing here is shared, so nothing here is locked.
final class EdgeLoop {
    private let eventLoop: any EventLoop
    /// For hellos, handshakes and closes of clients.
    let deadlines: LoopDeadlines
    let recordMemory = RecordMemory()
    let configuration: EdgeConfiguration
    let table: SiteTable
    let resources: EdgeResources
    var clients: ClientConnections { self.resources.clients }
    var gate: HandshakeGate { self.resources.gate }
    let logger: Logger
    let helloLimits: HelloLimits
    private let pools: [String: KeyHolderPool]
    private let native: NativeForwarder
    /// By the site's name.
    private(set) var terminatedSites: [String: TerminatedSite] = [:]
    /// The domains of those sites, to be found by a client's name, and by themselves.
    private(set) var domains = ServerNameTable<TerminatedDomain>()
    private var domainsByPattern: [ServerNamePattern: TerminatedDomain] = [:]
    /// On one event loop only; by the key holder's name.
    private var keepers: [String: LeaseKeeper] = [:]
    /// What grants allow, per second, by the site's name and domain; on the loop of the keepers only.
    private var rates: [String: [ServerNamePattern: Int]] = [:]
    /// By their numbers.
    private var connections: [UInt64: ClientPlace] = [:]
    private let slot: LoopSlot
    private let standing = LeaseReport.Standing()
    private var draining = false
    /// Another generation has taken over: told when the last connection has ended.
    private var emptied: EventLoopPromise<Void>?
    /// Tells the loop that keeps the certificates that one is outdated.
    private(set) var onOutdated: (ServerNamePattern) -> Void = { _ in }

    /// This edge's identity, for links of the key protocol and of streams.
    struct LinkTLS: Sendable {
        let keys: NIOSSLContext
        let streams: NIOSSLContext
    }

    init(
        slot: LoopSlot, configuration: EdgeConfiguration, table: SiteTable, tls: LinkTLS?,
        resources: EdgeResources, logger: Logger
    ) throws {
        let eventLoop = slot.eventLoop
        self.eventLoop = eventLoop
        self.deadlines = LoopDeadlines(eventLoop: eventLoop)
        self.slot = slot
        self.configuration = configuration
        self.table = table
        self.resources = resources
        self.logger = logger
        self.helloLimits = configuration.helloLimits
        var pools: [String: KeyHolderPool] = [:]
        if let tls {
            for (name, configuration) in configuration.keyHolders {
                pools[name] = KeyHolderPool(
                    configuration: configuration, tls: tls.keys, intake: resources.shared.intake,
                    eventLoop: eventLoop,
                    logger: logger)
            }
        }
        self.pools = pools
        let (clientGate, sites) = (resources.gate, configuration.sites.count { $0.native != nil })
        self.native = NativeForwarder(
            eventLoop: eventLoop, holders: resources.nativeHolders, sites: sites, tls: tls?.streams,
            intake: resources.shared.intake, linger: configuration.helloLimits.linger,
            reports: resources.reports,
            accessLog: resources.shared.accessLog, mayBegin: { clientGate.mayBegin($0, now: .now()) })
        for site in configuration.sites {
            guard let termination = site.mode.termination else { continue }
            guard let pool = pools[termination.keyHolder] else {
                throw EdgeError.unknownKeyHolder(site: site.name, keyHolder: termination.keyHolder)
            }
            guard let proxy = resources.proxies[site.name] else { continue }
            self.terminatedSites[site.name] = TerminatedSite(
                site: site, configuration: termination, pool: pool,
                report: HandshakeReport(
                    site: site.name, mode: site.mode.word, keyHolder: termination.keyHolder,
                    reports: resources.reports),
                proxy: proxy)
            for pattern in site.domains {
                let domain = TerminatedDomain(pattern: pattern, pool: pool, leases: resources.leases[site.name])
                _ = self.domains.insert(domain, for: pattern)
                self.domainsByPattern[pattern] = domain
            }
        }
    }

    /// Connects to the key holders.
    func start(onOutdated: @escaping @Sendable (ServerNamePattern) -> Void) {
        self.onOutdated = onOutdated
        for (name, pool) in self.pools {
            pool.onReady { [weak native = self.native] in native?.warm(name) }
            pool.start()
        }
    }

    // MARK: Leases

    /// Keeps the leases of all key holders, and the certificates of all domains of terminated sites; on one loop only.
    ///
    /// - Parameters:
    ///   - former: the generation before, on the same loop: a certificate that is still the same keeps its session tickets.
    ///   - publish: told what becomes of a domain.
    ///   - publishStanding: told whether the key holder of this name gives this edge any lease.
    ///   - publishLink: told whether the key holder of this name is connected.
    ///   - publishHealth: told how its addresses are.
    func startKeepers(
        after former: EdgeLoop? = nil,
        publish: @escaping (ServerNamePattern, SiteNews) -> Void,
        publishStanding: @escaping (_ keyHolder: String, LeaseEnd?) -> Void,
        publishLink: @escaping (_ keyHolder: String, Bool) -> Void,
        publishHealth: @escaping (_ keyHolder: String, [AddressHealth]) -> Void
    ) {
        var names: [ServerNamePattern: String] = [:]
        for site in self.terminatedSites.values { for pattern in site.site.domains { names[pattern] = site.site.name } }
        for (keyHolder, pool) in self.pools {
            let sites = self.terminatedSites.values.filter { $0.pool === pool }
            let orders = sites.flatMap { site in
                site.site.domains.map {
                    LeaseKeeper.Order(
                        pattern: $0, mode: site.site.mode.word, configuration: site.configuration,
                        staples: self.resources.staples[site.site.name])
                }
            }
            let keeper = LeaseKeeper(
                pool: pool, orders: orders, refreshInterval: self.configuration.certificateRefresh,
                shown: former?.keepers[keyHolder]?.shown ?? [:], standing: self.standing, logger: self.logger,
                publish: { pattern, news in
                    if let site = names[pattern] { self.rated(site, pattern, news.rate) }
                    publish(pattern, news)
                },
                publishStanding: { publishStanding(keyHolder, $0) }, publishLink: { publishLink(keyHolder, $0) })
            self.keepers[keyHolder] = keeper
            keeper.start()
            pool.onHealth { publishHealth(keyHolder, $0) }
        }
    }

    /// Where the domains of a site have several grants, the largest counts here: the key holder says when one is used up.
    private func rated(_ site: String, _ pattern: ServerNamePattern, _ rate: Int?) {
        self.rates[site, default: [:]][pattern] = rate
        if self.standing.isCurrent { self.setRate(of: site) }
    }

    private func setRate(of site: String) {
        guard let keyHolder = self.terminatedSites[site]?.configuration.keyHolder else { return }
        self.gate.setRate(self.rates[site]?.values.max(), for: site, at: keyHolder, now: .now())
    }

    /// What became of a domain's lease.
    func received(_ news: SiteNews, for pattern: ServerNamePattern) { self.domainsByPattern[pattern]?.update(news) }

    /// Whether the key holder of this name gives this edge any lease.
    func received(_ standing: LeaseEnd?, from keyHolder: String) {
        self.native.leases(of: keyHolder, ended: standing.map { "\($0)" })
    }

    /// A handshake on some loop found that the key holder no longer signs for the certificate shown.
    func refreshCertificate(of pattern: ServerNamePattern) {
        for keeper in self.keepers.values { keeper.refreshSoon(pattern) }
    }

    // MARK: Connections

    /// How long a listener rests at most when the edge is full. It goes on when a connection closes.
    private static let fullPause = TimeAmount.milliseconds(250)

    /// A new client.
    func accept(_ channel: any Channel, _ policy: ListenerPolicy) throws {
        let client = ClientAddress(source: channel.remoteAddress, destination: channel.localAddress)
        let start = policy.start(of: client.address)
        let place = ClientPlace(id: self.slot.number(), channel: channel)
        if self.draining {
            self.clients.refused(.draining)
            throw EdgeError.tooManyConnections
        }
        let isBalancer = start == .proxyProtocolHeader
        if let refusal = self.clients.accepted(place, from: client, isBalancer: isBalancer, now: .now()) {
            if refusal == .total { self.pauseListener(of: channel) }
            throw EdgeError.tooManyConnections
        }
        self.connections[place.id] = place
        self.slot.opened()
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            // Unless something else carries it now.
            if place.channel != nil { self.closed(place) }
        }
        if start == .plain { return try self.servePlain(channel, place, from: client) }
        try channel.pipeline.syncOperations.addHandler(
            HelloHandler(
                connection: place.id, client: client, start: start, table: self.table, limits: self.helloLimits,
                reports: self.resources.reports, deadlines: self.deadlines,
                identified: { self.clients.identified(place, as: $0, now: .now()).map { _ in HelloRefusal.crowded } },
                handOver: { handOver in
                    handOver.place = place
                    handOver.network = self.clients.network(of: handOver.client)
                    self.serve(handOver, place)
                },
                handOverNative: { handOver in
                    var handOver = handOver
                    handOver.place = place
                    self.serve(handOver, place)
                }))
    }

    private func closed(_ place: ClientPlace) {
        self.clients.closed(place)
        self.connections[place.id] = nil
        self.slot.closed()
        if self.connections.isEmpty { self.emptied?.succeed() }
    }

    private func pauseListener(of channel: any Channel) {
        guard let listener = channel.parent else { return }
        let eventLoop = listener.eventLoop
        let clients = self.clients
        @Sendable func pause() {
            guard let gate = try? listener.pipeline.syncOperations.handler(type: AcceptGate.self) else { return }
            gate.pauseWhileFull(for: Self.fullPause)
            let bound = NIOLoopBound(gate, eventLoop: eventLoop)
            clients.whenOneCloses(for: ObjectIdentifier(gate)) { eventLoop.execute { bound.value.resume() } }
        }
        // It may accept for other event loops than its own.
        if eventLoop.inEventLoop { pause() } else { eventLoop.execute { pause() } }
    }

    private func serve(_ handOver: RoutedClient, _ place: ClientPlace) {
        let now = NIODeadline.now()
        let terminatesTLS = handOver.site.mode.terminatesTLS
        if !terminatesTLS { place.rests(since: now) }
        let stage: ConnectionStage = terminatesTLS ? .shaking : .established
        guard self.clients.routed(place, to: handOver.site.name, stage: stage, now: now) == nil else {
            return self.refuse(handOver.channel, .internalError)
        }
        switch handOver.site.mode {
        case .relay(let relay):
            self.resources.relay.relay(self.forwarded(handOver), configuration: relay) { self.closed(place) }
        // What a TLS 1.2 server signs is signed only where it is made: at the key holder.
        case .keyless where handOver.hello.offersTLS13 && !handOver.hello.isAuthorityCheck:
            self.serveLeased(handOver) { self.serveKeyless($0) }
        case .keyless, .handoff: self.serveLeased(handOver) { self.serveHandoff($0) }
        }
    }

    private func serve(_ handOver: RoutedNativeClient, _ place: ClientPlace) {
        let now = NIODeadline.now()
        place.rests(since: now)
        let client = ForwardedClient(
            connection: handOver.connection, address: handOver.client,
            network: self.clients.network(of: handOver.client), place: place, channel: handOver.channel,
            site: handOver.site.name, serverName: handOver.hello.serverName, receivedBytes: handOver.receivedBytes)
        let keyHolder = handOver.site.native
        guard self.clients.routed(place, to: client.site, stage: .established, now: now) == nil else {
            return self.native.refuse(client, to: keyHolder)
        }
        self.native.forward(client, to: keyHolder)
    }

    private func forwarded(_ handOver: RoutedClient) -> ForwardedClient {
        ForwardedClient(
            connection: handOver.connection, address: handOver.client, network: handOver.network,
            place: handOver.place, channel: handOver.channel, site: handOver.site.name,
            serverName: handOver.serverName, receivedBytes: handOver.receivedBytes)
    }

    // MARK: Generations

    /// Takes the clients that come from now on.
    func takeOver() { self.slot.current = self }

    /// After another generation has taken over: succeeds when no connection is left.
    func whenEmpty() -> EventLoopFuture<Void> {
        guard !self.connections.isEmpty else { return self.eventLoop.makeSucceededVoidFuture() }
        let promise = self.emptied ?? self.eventLoop.makePromise(of: Void.self)
        self.emptied = promise
        return promise.futureResult
    }

    /// Nothing came of this generation, or its last connection has ended. Nothing of it stays, ticket keys included.
    func end() {
        for keeper in self.keepers.values { keeper.stop() }
        // What they tell leads back here.
        self.keepers.removeAll()
        self.onOutdated = { _ in }
        self.disconnect()
        for domain in self.domainsByPattern.values { domain.end() }
        if self.slot.current === self { self.slot.current = nil }
    }

    /// No handshake of this generation's needs a key holder any more on this loop.
    func disconnect() {
        for pool in self.pools.values { pool.stop() }
        self.native.stop()
    }

    /// Whether it is this loop that keeps the leases.
    var keepsLeases: Bool { !self.keepers.isEmpty }

    /// From now on what becomes of leases is told to the world, and to the gate that all generations share: metrics, log lines, rates.
    func speak() {
        self.standing.isCurrent = true
        for keeper in self.keepers.values { keeper.tellStanding() }
        for site in self.rates.keys { self.setRate(of: site) }
    }

    /// From now on another generation does, and says of its domains what holds.
    func fallSilent() {
        for keeper in self.keepers.values { keeper.withdraw() }
        self.standing.isCurrent = false
        self.native.rest()
    }

    /// The oldest of too many former generations: its connections are told, and then closed.
    func hasten(within time: TimeAmount) {
        self.quiesce()
        self.eventLoop.assumeIsolated().scheduleTask(in: time) {
            for place in self.connections.values { place.close() }
        }
    }

    /// What is relayed has no channel, and is its origin's business.
    private func quiesce() {
        for place in self.connections.values {
            place.channel?.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    // MARK: Shutdown

    /// Takes no more clients, waits for those there are, then closes what is left. Leases are kept meanwhile: a grant that is
    /// withdrawn ends its connections as ever.
    func drain(for time: TimeAmount) -> EventLoopFuture<Void> {
        self.draining = true
        let done = self.eventLoop.makePromise(of: Void.self)
        self.checkDrained(deadline: .now() + time, nextCall: .now(), done: done)
        return done.futureResult
    }

    /// Connections are told again and again: some are shaking hands, and get to HTTP later.
    private func checkDrained(deadline: NIODeadline, nextCall: NIODeadline, done: EventLoopPromise<Void>) {
        let now = NIODeadline.now()
        var nextCall = nextCall
        if now >= nextCall {
            nextCall = now + .milliseconds(200)
            // HTTP tells its clients, and closes what is idle; relayed connections are their origin's business.
            self.quiesce()
        }
        if self.connections.isEmpty || now >= deadline {
            if !self.connections.isEmpty {
                self.logger.notice(
                    "connections are closed, since their time is over",
                    metadata: ["connections": "\(self.connections.count)"])
            }
            for place in self.connections.values { place.close() }
            self.end()
            return done.succeed()
        }
        self.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(20)) {
            self.checkDrained(deadline: deadline, nextCall: nextCall, done: done)
        }
    }
}

/// What keeps an edge from starting, or a client from being served.
public enum EdgeError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownKeyHolder(site: String, keyHolder: String)
    case noCredentials(site: String)
    case tooManyConnections
    /// The reason, with what helps.
    case cannotListen(String)
    /// systemd passes it, and the configuration does not have it.
    case unusedSocket(name: String, address: String)

    public var description: String {
        switch self {
        case .unknownKeyHolder(let site, let keyHolder):
            "the site \(site) names the key holder \(keyHolder), which is not configured"
        case .noCredentials(let site): "the site \(site) uses a key holder, but the edge has no identity for it"
        case .cannotListen(let reason): reason
        case .tooManyConnections: "the limit of connections is reached"
        case .unusedSocket(let name, let address):
            "systemd passes a socket at \(address) (\(name)), where nothing in the configuration listens; write the same address there, or remove it from the .socket unit"
        }
    }
}
