import Admission
public import Channels
public import Logging
public import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
public import ServiceLifecycle
import Synchronization
import Telemetry

/// A key holder: owns the private keys of sites, and uses them for the edges that were granted it.
///
/// Create it (which loads every chain and key and opens the audit log), then either `run()` it in a service group, or
/// ``start()`` and ``stop()`` it.
public final class KeyHolderServer: Service {
    let configuration: KeyHolderConfiguration
    var keyStore: any KeyStore { self.configuration.keyStore }
    /// One change of the policy at a time.
    let changes = Mutex<Void>(())
    /// Held while sites are read for a change: files, and an HSM that signs, take their time, and ``changes`` is for no wait.
    let loads = Mutex<Void>(())
    let grants: Mutex<ConfiguredGrants>
    /// One look at the grants' times after another.
    let review = Mutex<Void>(())
    let group: any EventLoopGroup
    private let inherited: InheritedListeners
    private let predecessor: KeyHolderPredecessor?
    let core: KeyHolderCore
    let trust: TrustBox
    let dialler: Dialler
    let native: NativeService
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
    struct Trust {
        var credentials: PeerCredentials
        var generation: Int
    }

    /// For what opens or accepts connections.
    final class TrustBox: Sendable {
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
            logger: logger, wallClock: wallClock)
        self.core.metrics.identity(notAfter: configuration.credentials.notAfter)
        self.native = NativeService(
            configuration: configuration.native ?? NativeConfiguration(listen: []), core: self.core, group: group)
        self.dialler = Dialler(core: self.core, native: self.native, group: group) {
            trust.value.withLock { ($0.credentials, $0.generation) }
        }
        var changes = AuditedChanges()
        changes.add(sites: policy.sites, before: [])
        changes.add(grants: configuration.grants, before: [])
        self.core.audit(changes)
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
        do {
            let addresses: [SocketAddress] = try await self.native.start(inherited: self.inherited) {
                [self] in
                self.trust.value.withLock { ($0.credentials, $0.generation) }
            }
            self.nativeListenAddresses.withLock { $0 = addresses }
        } catch {
            await self.stop()
            throw error
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

    /// Native clients of edges at this moment.
    public var nativeConnectionCount: Int { self.native.connectionCount }

    /// Stops listening, answers requests under way for at most the drain timeout, closes every connection and writes what
    /// is left of the audit log.
    public func stop() async {
        let listeners: [HolderListener] = self.listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in listeners { try? await listener.channel.close().get() }
        await self.native.stop()
        self.dialler.stop()
        await self.core.registry.drain(within: self.core.limits.drainTimeout)
        if await !self.core.slow.shutDown() {
            self.core.logger.warning("operations are given up: what has the key does not answer")
        }
        // What the threads handed back to the event loops has yet to leave its audit lines.
        await self.turn()
        self.stopTickers()
        await self.core.audit.shutDown(AuditRecord(time: Clock.wallMilliseconds(), event: .stop))
    }

    /// Returns when each event loop has had its turn.
    public func turn() async {
        for loop in self.group.makeIterator() { try? await loop.submit {}.get() }
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
                    try pipeline.addHandler(HelloGate { _ in try trust.credentials.serverContext() })
                    try pipeline.addHandler(IdleStateHandler(readTimeout: core.limits.idleTimeout))
                    try pipeline.addHandler(
                        KeyHolderConnection(core: core, trustGeneration: trust.generation, now: now))
                }
            }
    }
}
