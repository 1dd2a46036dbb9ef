import CacheStorage
import Channels
public import EdgeHTTP
import EdgeModel
public import FleetLink
public import Logging
import NIOConcurrencyHelpers
public import NIOCore
import NIOPosix
public import ServiceLifecycle
public import Telemetry

/// The edge as a service: one set of listening sockets per event loop, each accepting for itself alone, so that a
/// connection never changes threads.
public final class EdgeServer: Service {
    private let configuration: EdgeConfiguration
    let logger: Logger
    private let started: @Sendable ([SocketAddress]) -> Void
    /// Set while it runs; read by health checks.
    let readiness: EdgeReadiness
    let cache: CacheAdministration
    private let fleetStatus: FollowStatus
    private let accessLog: AccessLogWriter?
    let state = NIOLockedValueBox(State.idle)

    enum State: Sendable {
        case idle
        case running(Running)
        /// A new configuration is about to take over.
        case reloading
        case ending
    }

    struct Running: Sendable {
        let group: MultiThreadedEventLoopGroup
        let slots: [NIOLoopBound<LoopSlot>]
        let shared: EdgeShared
        var listeners: EdgeListeners
        var generation: EdgeGeneration
        /// Those before, by number, that still have connections.
        let retired: NIOLockedValueBox<[Int: EdgeGeneration]>

        /// However many reloads there are: each has links to key holders of its own.
        static let maximumRetired = 4
    }

    /// - Parameters:
    ///   - accessLog: told of each request and relayed connection; nil: none is.
    ///   - started: called once with the addresses that it listens on.
    public init(
        configuration: EdgeConfiguration, logger: Logger, readiness: EdgeReadiness = EdgeReadiness(),
        cache: CacheAdministration = CacheAdministration(), fleetStatus: FollowStatus = FollowStatus(),
        accessLog: AccessLogWriter? = nil,
        started: @escaping @Sendable ([SocketAddress]) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.logger = logger
        self.readiness = readiness
        self.cache = cache
        self.fleetStatus = fleetStatus
        self.accessLog = accessLog
        self.started = started
    }

    /// How long connections may go on after a shutdown was asked for.
    static let drainTime = TimeAmount.seconds(10)

    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, self.configuration.threads))
        let result: Result<Void, any Error>
        do {
            try await self.serve(on: group)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        self.state.withLockedValue { $0 = .idle }
        try? await group.shutdownGracefully()
        try result.get()
    }

    private func serve(on group: MultiThreadedEventLoopGroup) async throws {
        let store = try await self.configuration.openStore(on: group, logger: self.logger)
        self.cache.opened(store, for: self.configuration.sites, generation: 1)
        let figures = store.map { StoreMetrics($0) }
        let report = group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(5)) { _ in
            figures?.update()
        }
        defer {
            report.cancel()
            self.cache.closed()
        }
        do {
            try await self.serve(on: group, inFleetWith: store)
        } catch {
            await store?.close()
            throw error
        }
        await store?.close()
    }

    private func serve(on group: MultiThreadedEventLoopGroup, inFleetWith store: ResponseStore?) async throws {
        guard let membership = self.configuration.fleet else { return try await self.serve(on: group, store: store) }
        let fleet = try await EdgeFleet(
            membership, store: store, administration: self.cache, status: self.fleetStatus, logger: self.logger)
        do {
            try await self.serve(on: group, store: store)
        } catch {
            await fleet.stop()
            throw error
        }
        await fleet.stop()
    }

    private func serve(on group: MultiThreadedEventLoopGroup, store: ResponseStore?) async throws {
        let shared = EdgeShared(
            self.configuration, connections: self.connectionLimit(), store: store, group: group, logger: self.logger,
            accessLog: self.accessLog)
        defer { shared.shutdown() }
        let eventLoops = Array(group.makeIterator())
        var slots: [NIOLoopBound<LoopSlot>] = []
        for (index, eventLoop) in eventLoops.enumerated() {
            slots.append(
                try await eventLoop.submit {
                    NIOLoopBound(
                        LoopSlot(eventLoop: eventLoop, index: index, of: eventLoops.count), eventLoop: eventLoop)
                }.get())
        }
        let generation = try await EdgeGeneration(1, self.configuration, on: slots, shared: shared, group: group)
        var listeners = EdgeListeners(on: slots, logger: self.logger)
        let opened: EdgeListeners.Opened
        do {
            opened = try await listeners.bind(self.configuration.listen)
        } catch {
            generation.end()
            throw error
        }
        self.readiness.becomesCurrent(1)
        shared.relay.setOwnListeners(opened.addresses)
        try await generation.start(after: nil, readiness: self.readiness)
        generation.takeOver()
        await listeners.apply(self.configuration.listen, opening: opened)
        let addresses = listeners.addresses
        for address in addresses { self.logger.notice("listening", metadata: ["address": "\(PeerText(address))"]) }
        let running = Running(
            group: group, slots: slots, shared: shared, listeners: listeners, generation: generation,
            retired: NIOLockedValueBox([:]))
        self.state.withLockedValue { $0 = .running(running) }
        self.started(addresses)
        try? await gracefulShutdown()
        try await self.drain()
    }

    /// Takes no more clients, and gives those there are their time; on all event loops at once.
    private func drain() async throws {
        var running: Running?
        // A reload that is under way ends soon.
        while running == nil {
            running = self.state.withLockedValue { state in
                guard case .running(let running) = state else { return nil }
                state = .ending
                return running
            }
            if running == nil { try? await Task.sleep(for: .milliseconds(20)) }
        }
        guard let running else { return }
        self.logger.notice("shutting down")
        await running.listeners.close()
        let generations = [running.generation] + running.retired.withLockedValue { Array($0.values) }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for generation in generations {
                tasks.addTask { try await generation.drain(for: Self.drainTime) }
            }
            try await tasks.waitForAll()
        }
    }

    /// What of `limits.connections` the process has descriptors for.
    private func connectionLimit() -> Int {
        let wanted = self.configuration.limits.connections
        let budget = DescriptorBudget(
            limit: self.configuration.descriptorLimit ?? DescriptorLimit.current,
            reserve: self.configuration.descriptorReserve)
        guard wanted > budget.connections else { return wanted }
        self.logger.warning(
            "fewer clients are accepted than limits.connections says: the process may have too few file descriptors",
            metadata: [
                "connections": "\(budget.connections)", "wanted": "\(wanted)", "descriptors": "\(budget.limit)",
                "remedy":
                    "allow \(budget.limit(for: wanted)) (LimitNOFILE=, ulimit -Hn), or set limits.connections lower",
            ])
        return budget.connections
    }
}
