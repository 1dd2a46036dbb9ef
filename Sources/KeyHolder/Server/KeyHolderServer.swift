import Admission
public import Channels
import KeyProtocol
public import Logging
public import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
public import ServiceLifecycle
import Synchronization
import TLSWire
import Telemetry

/// A key holder: owns the private keys of sites, and uses them for the edges that were granted it.
///
/// Create it (which loads every chain and key and opens the audit log), then either `run()` it in a service group, or
/// ``start()`` and ``stop()`` it.
public final class KeyHolderServer: Service {
    private let configuration: KeyHolderConfiguration
    var keyStore: any KeyStore { self.configuration.keyStore }
    /// One change of the policy at a time.
    private let changes = Mutex<Void>(())
    /// Held while sites are read for a change: files, and an HSM that signs, take their time, and ``changes`` is for no wait.
    let loads = Mutex<Void>(())
    let grants: Mutex<ConfiguredGrants>
    /// One look at the grants' times after another.
    let review = Mutex<Void>(())
    private let group: any EventLoopGroup
    private let inherited: InheritedListeners
    private let predecessor: KeyHolderPredecessor?
    let core: KeyHolderCore
    private let trust: TrustBox
    let dialler: Dialler
    let native: NativeService?
    /// Another process is about to take over: nothing is read again.
    let isHandingOver = Mutex<Bool>(false)
    /// Files with ticket keys and OCSP responses are being read again.
    private let isRereading = Atomic<Bool>(false)
    private let ticker = Mutex<RepeatedTask?>(nil)
    private let ticketTicker = Mutex<RepeatedTask?>(nil)
    private let nativeListenAddresses = Mutex<[SocketAddress]>([])
    let listeners = Mutex<[HolderListener]>([])
    public let logger: Logger
    private let onReady: @Sendable ([SocketAddress]) -> Void

    /// What new connections are verified with.
    private struct Trust {
        var credentials: PeerCredentials
        var generation: Int
    }

    /// For what opens or accepts connections.
    private final class TrustBox: Sendable {
        let value: Mutex<Trust>

        init(_ trust: Trust) { self.value = Mutex(trust) }
    }

    /// - Parameters:
    ///   - inherited: Sockets that are taken instead of being bound, where the configuration has their addresses.
    ///   - group: Runs the connections; the caller's to shut down.
    ///   - onReady: Called by ``run()`` with the bound addresses.
    /// - Throws: ``KeyHolderError``, ``SiteLoadError`` or ``AuditLogError``, each saying what to do.
    public convenience init(
        configuration: KeyHolderConfiguration, inherited: InheritedListeners = InheritedListeners(),
        group: any EventLoopGroup, logger: Logger,
        onReady: @escaping @Sendable ([SocketAddress]) -> Void = { _ in }
    ) throws {
        try self.init(
            configuration: configuration, inherited: inherited, group: group, logger: logger,
            wallClock: Clock.wallMilliseconds, onReady: onReady)
    }

    /// One that takes over from another process: every chain and key is loaded before that one has to let go of anything.
    public convenience init(
        configuration: KeyHolderConfiguration, inherited: InheritedListeners,
        succeeding predecessor: KeyHolderPredecessor,
        group: any EventLoopGroup, logger: Logger,
        onReady: @escaping @Sendable ([SocketAddress]) -> Void
    ) async throws {
        try Self.checkCredentials(of: configuration)
        let sites: [Site] = try Self.sites(of: configuration, previous: nil)
        var configuration: KeyHolderConfiguration = configuration
        configuration.revoked = try await predecessor.claim()
        try self.init(
            configuration: configuration, inherited: inherited, predecessor: predecessor, sites: sites, group: group,
            logger: logger, wallClock: Clock.wallMilliseconds, onReady: onReady)
    }

    /// - Parameters:
    ///   - sites: Loaded already; nil: they are loaded now.
    ///   - wallClock: Milliseconds since 1970 UTC; tests have their own.
    init(
        configuration: KeyHolderConfiguration, inherited: InheritedListeners = InheritedListeners(),
        predecessor: KeyHolderPredecessor? = nil, sites: [Site]? = nil,
        group: any EventLoopGroup, logger: Logger,
        wallClock: @escaping @Sendable () -> Int64, onReady: @escaping @Sendable ([SocketAddress]) -> Void
    ) throws {
        guard !configuration.listen.isEmpty || !configuration.dial.isEmpty else { throw KeyHolderError.noListenAddress }
        self.configuration = configuration
        self.group = group
        self.inherited = inherited
        self.predecessor = predecessor
        self.logger = logger
        self.onReady = onReady
        try Self.checkCredentials(of: configuration)
        let trust = TrustBox(Trust(credentials: configuration.credentials, generation: 0))
        self.trust = trust
        let grants = ConfiguredGrants(all: configuration.grants, revoked: configuration.revoked)
        self.grants = Mutex(grants)
        let policy = try Self.policy(
            configuration, try sites ?? Self.sites(of: configuration, previous: nil), grants, at: wallClock(),
            previous: nil, logger)
        let audit = try AuditLog(
            configuration.audit, limit: configuration.limits.auditQueue,
            start: "latchstring \(LatchstringVersion.text)", logger: logger)
        self.core = KeyHolderCore(
            limits: configuration.limits, policy: policy, audit: audit, loops: LoopWorks(group),
            deviceThreads: configuration.keyStore.deviceThreads, logger: logger,
            wallClock: wallClock)
        self.core.metrics.identity(notAfter: configuration.credentials.notAfter)
        self.dialler = Dialler(core: self.core, group: group) {
            trust.value.withLock { ($0.credentials, $0.generation) }
        }
        var changes = AuditedChanges()
        changes.add(sites: policy.sites, before: [])
        changes.add(grants: configuration.grants, before: [])
        self.core.audit(changes)
        self.native = configuration.native.map { [core] in NativeService(configuration: $0, core: core) }
    }

    /// Serves until graceful shutdown or cancellation, then finishes what is under way.
    public func run() async throws {
        let addresses: [SocketAddress] = try await self.start()
        self.onReady(addresses)
        // Cancellation ends the wait as well; both ways lead to the same orderly end.
        try? await gracefulShutdown()
        await self.stop()
    }

    /// Binds every address. Call it once.
    ///
    /// - Returns: The bound addresses, in the configuration's order.
    /// - Throws: ``KeyHolderError/cannotListen(_:)``.
    public func start() async throws -> [SocketAddress] {
        self.core.slow.start()
        self.startTickers()
        for address in self.configuration.listen {
            do {
                let channels: [any Channel] = try await self.bootstrap().listen(
                    host: address.host, port: address.port, inherited: self.inherited)
                self.listeners.withLock { $0 += HolderListener.all(channels, at: address) }
            } catch {
                await self.stop()
                throw KeyHolderError.cannotListen(
                    SystemError.cannotListen(on: "\(address)", port: address.port, error))
            }
        }
        if let native = self.native {
            do {
                let addresses: [SocketAddress] = try await native.start(on: self.group, inherited: self.inherited) {
                    [self] in
                    self.trust.value.withLock { ($0.credentials, $0.generation) }
                }
                self.nativeListenAddresses.withLock { $0 = addresses }
            } catch {
                await self.stop()
                throw error
            }
        }
        do { try await self.takeOver() } catch {
            await self.stop()
            throw error
        }
        self.dialler.update(self.configuration.dial)
        return self.listeners.withLock { $0.compactMap(\.channel.localAddress) }
    }

    /// Sockets that nothing accepts from would keep their edges waiting. Those of a process before are its own to end.
    private func takeOver() async throws {
        guard let predecessor = self.predecessor else {
            guard let left = self.inherited.left.first else { return }
            throw KeyHolderError.unusedSocket(left.name, "\(PeerText(left.address))")
        }
        let taken: Set<Int> = self.inherited.taken
        self.inherited.closeLeft()
        try await predecessor.relieve(taken)
    }

    func startTickers() {
        let audit: AuditLog = self.core.audit
        let ticker: RepeatedTask = self.group.any().scheduleRepeatedTask(
            initialDelay: .seconds(1), delay: .seconds(1)
        ) { [core = self.core, weak self] _ in
            audit.tick(now: Clock.monotonic(), time: Clock.wallMilliseconds())
            core.policy.pruneFormer(now: Clock.monotonic())
            core.metrics.audited(audit.sequence)
            self?.reviewGrants()
        }
        self.ticker.withLock { $0 = ticker }
        let ticketTicker: RepeatedTask = self.group.any().scheduleRepeatedTask(
            initialDelay: .zero, delay: .seconds(10)
        ) { [weak self] _ in
            guard let self else { return }
            let now: UInt64 = Clock.monotonic()
            for site in self.core.policy.sites { site.handoff.tickets.tick(now: now) }
            // Files block. Where they hang, one thread hangs with them.
            guard !self.isRereading.exchange(true, ordering: .acquiringAndReleasing) else { return }
            NIOThreadPool.singleton.submit { state in
                defer { self.isRereading.store(false, ordering: .releasing) }
                guard case .active = state else { return }
                self.rereadTicketKeys()
                self.rereadStaples()
            }
        }
        self.ticketTicker.withLock { $0 = ticketTicker }
    }

    func stopTickers() {
        self.ticker.withLock { $0 }?.cancel()
        self.ticketTicker.withLock { $0 }?.cancel()
    }

    /// Where it listens for native connections, once it has started.
    public var nativeAddresses: [SocketAddress] { self.nativeListenAddresses.withLock { $0 } }

    /// Native connections of edges at this moment.
    public var nativeConnectionCount: Int { self.native?.connectionCount ?? 0 }

    /// Stops listening, answers requests under way for at most the drain timeout, closes every connection and writes what
    /// is left of the audit log.
    public func stop() async {
        let listeners: [HolderListener] = self.listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in listeners { try? await listener.channel.close().get() }
        await self.native?.stop()
        self.dialler.stop()
        await self.core.registry.drain(within: self.core.limits.drainTimeout)
        await self.core.slow.shutDown()
        // What the threads handed back to the event loops has yet to leave its audit lines.
        await self.turn()
        self.stopTickers()
        await self.core.audit.shutDown(AuditRecord(time: Clock.wallMilliseconds(), event: .stop))
    }

    /// Returns when each event loop has had its turn.
    public func turn() async {
        for loop in self.group.makeIterator() { try? await loop.submit {}.get() }
    }

    /// Puts the configuration's sites, grants and credentials in the place of the present ones, all at once.
    ///
    /// Edges that have no grant any more are told so and cut off at once, connections included; edges whose grants have changed
    /// are told that as well. Requests under way are judged again by
    /// the new grants before their results leave. Addresses, limits and the audit log's place stay as they were until a
    /// restart. A new identity of the key holder applies to new connections. If an authority is not trusted any more, all
    /// connections are cut off: edges whose identities still hold come back at once.
    ///
    /// A key that is replaced stays good for `grace` for clients that were shown its certificate.
    ///
    /// - Parameter revokingReplaced: No key that is replaced now, or was before, is used again.
    /// - Throws: ``SiteLoadError`` or ``KeyHolderError``; everything stays as it was then.
    public func reload(_ configuration: KeyHolderConfiguration, revokingReplaced: Bool = false) throws {
        guard !self.isHandingOver.withLock({ $0 }) else { throw KeyHolderError.handingOver }
        try Self.checkCredentials(of: configuration)
        try self.loads.withLock { _ in
            // It may have begun while another reload was under way.
            guard !self.isHandingOver.withLock({ $0 }) else { throw KeyHolderError.handingOver }
            try self.reloadInTurn(configuration, revokingReplaced)
        }
    }

    private func reloadInTurn(_ configuration: KeyHolderConfiguration, _ revokingReplaced: Bool) throws {
        let sites: [Site] = try Self.sites(of: configuration, previous: self.core.policy)
        var keepsTrust = true
        var changes = AuditedChanges()
        let dropped: [any Channel] = try self.change { previous in
            let grants = ConfiguredGrants(
                all: configuration.grants, revoked: self.grants.withLock { $0.revoked })
            let policy = try Self.policy(
                configuration, sites, grants, at: self.core.wallClock(), previous: previous,
                revokingReplaced: revokingReplaced, self.logger)
            self.grants.withLock { grants in
                changes.add(grants: configuration.grants, before: grants.all)
                grants.all = configuration.grants
            }
            keepsTrust = self.trust.value.withLock { trust in
                let keeps: Bool = configuration.credentials.trustsAll(of: trust.credentials)
                if !keeps { trust.generation += 1 }
                trust.credentials = configuration.credentials
                self.core.trustGeneration.store(trust.generation, ordering: .sequentiallyConsistent)
                return keeps
            }
            return policy
        } cuttingOff: { policy in
            self.cutOff(policy) { keepsTrust && policy.knows(edge: $0) }
        }
        self.core.metrics.identity(notAfter: configuration.credentials.notAfter)
        self.dialler.update(configuration.dial)
        self.core.audit(
            .reload,
            detail:
                "sites \(self.core.policy.sites.count), grants \(configuration.grants.count), connections cut off \(dropped.count)"
                + (revokingReplaced ? ", keys that were replaced are revoked" : ""))
        self.core.audit(changes)
        self.logger.notice(
            "reloaded",
            metadata: ["sites": "\(self.core.policy.sites.count)", "connections-cut-off": "\(dropped.count)"])
    }

    /// Cuts off the connections of all edges but these.
    func cutOff(_ policy: Policy, keeping keeps: (String) -> Bool) -> [any Channel] {
        self.core.accounts.keep(where: policy.knows)
        let dropped: [any Channel] = self.core.registry.channels(ofEdgesNot: keeps)
        for channel in dropped { channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.cutOff) }
        return dropped
    }

    /// Puts a policy in the place of the present one, and tells the edges that it concerns.
    @discardableResult
    func change(
        _ make: (Policy) throws -> Policy, cuttingOff: (Policy) -> [any Channel] = { _ in [] }
    ) throws -> [any Channel] {
        try self.changes.withLock { _ in
            let previous: Policy = self.core.policy
            let policy: Policy = try make(previous)
            self.core.policy = policy
            var changes = AuditedChanges()
            changes.add(sites: policy.sites, before: previous.sites)
            self.core.audit(changes)
            let dropped: [any Channel] = cuttingOff(policy)
            // Where grants have changed, or what they are for, an edge that waits for news of its lease gets them.
            let concerned: [any Channel] = self.core.registry.channels {
                policy.generation(of: $0) == previous.generation(of: $0)
            }
            for channel in concerned { channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.reconsider) }
            self.native?.reconsider()
            self.dialler.reconsider()
            return dropped
        }
    }

    /// Takes up changed files with ticket keys. Blocks, as files do.
    func rereadTicketKeys() {
        for site in self.core.policy.sites {
            switch site.handoff.tickets.news() {
            case .none: continue
            case .replaced: self.logger.notice("ticket keys have changed", metadata: ["site": "\(site.name)"])
            case .problem(let error):
                self.logger.error(
                    "ticket keys stay as they were: the file cannot be used",
                    metadata: ["site": "\(site.name)", "error": "\(error)"])
            }
        }
    }

    /// Takes up changed files with OCSP responses, and leaves out those whose time is over. Blocks, as files do.
    func rereadStaples() {
        for site in self.core.policy.sites {
            guard case .changed(let problems) = site.handoff.restaple(now: Clock.wallMilliseconds() / 1000)
            else {
                continue
            }
            self.core.metrics.stapled(site.name, problems.isEmpty)
            if let problem = problems.first {
                self.logger.warning(
                    "no OCSP response is shown", metadata: ["site": "\(site.name)", "reason": "\(problem)"])
            } else {
                self.logger.notice("OCSP response shown", metadata: ["site": "\(site.name)"])
            }
        }
    }

    /// Opens the audit file again, after something else has renamed it.
    ///
    /// - Throws: ``AuditLogError``; lines then still go to the old file.
    public func reopenAudit() throws {
        try self.core.audit.reopen()
    }

    /// Whether there is room for audit lines. Without it, operations are refused.
    public var canAudit: Bool { self.core.audit.hasRoom }

    /// Addresses of edges that are dialled and to which there is no link, each with the reason.
    public var dialProblems: [String] { self.dialler.problems }

    /// Connections of edges at this moment.
    public var connectionCount: Int { self.core.registry.count }

    // MARK: Parts

    private func bootstrap() -> ServerBootstrap {
        let core: KeyHolderCore = self.core
        return ServerBootstrap(group: self.group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let gate = AcceptGate(
                        address: "\(PeerText(channel.localAddress))",
                        logger: core.logger)
                    try channel.pipeline.syncOperations.addHandler(gate)
                }
            }
            .childChannelInitializer { [self] channel in
                let now: UInt64 = Clock.monotonic()
                switch core.registry.accepted(channel, from: ClientNetwork(channel.remoteAddress)) {
                case .accepted(let evicted):
                    evicted?.pipeline.fireUserInboundEventTriggered(ConnectionCommand.evict)
                case .refused(let refusal):
                    core.auditRepeated(
                        edge: nil, address: channel.remoteAddress.map { "\(PeerText($0))" }, outcome: .refused,
                        detail: "limit of connections: \(refusal)", since: now)
                    return channel.close()
                }
                channel.closeFuture.whenComplete { _ in
                    core.registry.closed(channel)
                    core.metrics.connections(core.registry.count)
                }
                let trust: Trust = self.trust.value.withLock { $0 }
                return channel.eventLoop.makeCompletedFuture {
                    // A context of its own for each connection: TLS sessions resume only within one context, and on
                    // resumption the peer's certificate is not looked at again.
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(HelloGate { try trust.credentials.serverContext() })
                    try pipeline.addHandler(IdleStateHandler(readTimeout: core.limits.idleTimeout))
                    try pipeline.addHandler(
                        KeyHolderConnection(core: core, trustGeneration: trust.generation, now: now))
                }
            }
    }

    private static func checkCredentials(of configuration: KeyHolderConfiguration) throws {
        guard configuration.credentials.identity.role == .keyholder else {
            throw KeyHolderError.wrongRole(configuration.credentials.identity)
        }
        do {
            _ = try configuration.credentials.serverContext()
        } catch {
            throw KeyHolderError.tls("\(error)")
        }
    }

    /// Reads the sites' files, and has keys on tokens sign. Blocks.
    private static func sites(
        of configuration: KeyHolderConfiguration, previous: Policy?
    ) throws(SiteLoadError) -> [Site] {
        let loader = SiteLoader(store: configuration.keyStore, previous: previous?.index)
        var sites: [Site] = []
        for site in configuration.sites { sites.append(try loader.load(site)) }
        return sites
    }

    private static func policy(
        _ configuration: KeyHolderConfiguration, _ sites: [Site], _ all: ConfiguredGrants, at time: Int64,
        previous: Policy?, revokingReplaced: Bool = false, _ logger: Logger
    ) throws(SiteLoadError) -> Policy {
        // Grants that do not count now are to be good all the same when they do, and what to beware of in them is said now.
        let whole = try Policy(sites: sites, grants: configuration.grants, previous: nil, now: 0)
        let grants: [GrantConfiguration] = all.inForce(at: time)
        for edge in Set(configuration.grants.map(\.edge)).intersection(all.revoked).sorted() {
            logger.warning("an edge is revoked: its grants do not count", metadata: ["edge": "\(edge)"])
        }
        let policy = try Policy(
            sites: sites, grants: grants, lease: configuration.lease, grace: configuration.grace,
            revokingReplaced: revokingReplaced, previous: previous,
            now: Clock.monotonic(), wallSeconds: time / 1000)
        let now: Int64 = Clock.wallMilliseconds() / 1000
        for site in sites {
            let keys: String = site.credentials.map { "\($0.key.type)" }.joined(separator: ", ")
            logger.info("site loaded", metadata: ["site": "\(site.name)", "key": "\(keys)"])
            for credential in site.credentials { Self.warn(of: credential, now: now, logger) }
        }
        for grant in configuration.grants {
            let stock: [String] = grant.operations.intersection(KeyProtocol.Operation.stock).map(\.rawValue).sorted()
            guard !stock.isEmpty else { continue }
            logger.warning(
                "a grant has stock operations: with them an edge has whatever it likes signed or decrypted",
                metadata: [
                    "edge": "\(grant.edge)", "operations": "\(stock.joined(separator: ", "))",
                    "sites": "\(grant.sites.map(\.description).joined(separator: ", "))",
                ])
        }
        for (one, other) in whole.sitesSharingKeys {
            logger.warning(
                "two sites share a private key: a grant for one is as good as a grant for the other",
                metadata: ["site": "\(one.name)", "other": "\(other.name)"])
        }
        Self.warn(of: whole.impersonations, logger)
        return policy
    }

    private static func warn(of credential: SiteCredential, now: Int64, _ logger: Logger) {
        if credential.notAfter < now {
            logger.warning("a site's certificate has expired; renew it", metadata: ["file": "\(credential.chainName)"])
        }
        if credential.lacksIntermediate {
            logger.warning(
                "a site's chain ends with its own certificate: clients will not find who issued it",
                metadata: ["file": "\(credential.chainName)", "remedy": "\(ChainOrder.remedy)"])
        }
    }

    /// One line for each name, up to a bound, since a wildcard may cover thousands.
    private static func warn(of impersonations: [Impersonation], _ logger: Logger) {
        let most = 20
        for one in impersonations.prefix(most) {
            logger.warning(
                "an edge could pose as a site that it was not granted: a certificate that it was granted covers the name",
                metadata: [
                    "edge": "\(one.edge)", "granted": "\(one.granted)", "covered-by": "\(one.pattern)",
                    "name": "\(one.name)", "site": "\(one.owner)",
                ])
        }
        if impersonations.count > most {
            logger.warning(
                "more names as which edges could pose; `latchstring check` names them all",
                metadata: ["names": "\(impersonations.count - most)"])
        }
    }
}
