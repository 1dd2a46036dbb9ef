import CacheStorage
import Channels
public import EdgeHTTP
import EdgeModel
import EdgeRelay
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
    private let succession: EdgeSuccession
    let state = NIOLockedValueBox(State.idle)

    enum State: Sendable {
        case idle
        case running(Running)
        /// A new configuration is about to take over.
        case reloading
        /// Another process is about to take over.
        case handingOver
        case ending
    }

    struct Running: Sendable {
        let group: MultiThreadedEventLoopGroup
        let slots: [NIOLoopBound<LoopSlot>]
        let shared: EdgeShared
        let holdings: EdgeHoldings
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
        succession: EdgeSuccession = EdgeSuccession(),
        started: @escaping @Sendable ([SocketAddress]) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.logger = logger
        self.readiness = readiness
        self.cache = cache
        self.fleetStatus = fleetStatus
        self.accessLog = accessLog
        self.succession = succession
        self.started = started
    }

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
        let claimed = try await self.succession.predecessor?.claim()
        let store = try await self.configuration.openStore(on: group, logger: self.logger)
        if let predecessor = self.succession.predecessor { store?.purgeElsewhere(predecessor.purge) }
        self.cache.opened(store, for: self.configuration.sites, generation: 1)
        let figures = store.map { StoreMetrics($0) }
        let report = group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(5)) { _ in
            figures?.update()
        }
        defer {
            report.cancel()
            self.cache.closed()
        }
        let holdings = EdgeHoldings(store: store, joinFleet: self.fleetMembership(with: store))
        do {
            try await holdings.begin()
            try await self.serve(on: group, holdings, claimed: claimed)
        } catch {
            await holdings.close()
            throw error
        }
        await holdings.close()
    }

    private func fleetMembership(with store: ResponseStore?) -> (@Sendable () async throws -> EdgeFleet)? {
        guard let membership = self.configuration.fleet else { return nil }
        return { [cache = self.cache, status = self.fleetStatus, logger = self.logger] in
            try await EdgeFleet(membership, store: store, administration: cache, status: status, logger: logger)
        }
    }

    /// - Parameter claimed: the domains that the process before serves, if there is one.
    private func serve(
        on group: MultiThreadedEventLoopGroup, _ holdings: EdgeHoldings, claimed: Set<String>?
    ) async throws {
        let shared = EdgeShared(
            self.configuration, connections: self.connectionLimit(self.configuration), store: holdings.store,
            group: group, logger: self.logger, accessLog: self.accessLog)
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
        var listeners = EdgeListeners(
            on: slots, of: group, inherited: self.succession.inherited, intake: shared.intake, logger: self.logger)
        let opened: EdgeListeners.Opened
        do {
            opened = try await listeners.bind(self.configuration.listeners)
            let taken = self.succession.inherited.taken
            try self.checkInherited()
            if let claimed { self.readiness.assume(claimed) } else { self.readiness.becomesCurrent(1) }
            shared.relay.setOwnListeners(opened.addresses)
            try await generation.start(after: nil, readiness: self.readiness)
            await opened.acceptKeyHolders()
            if claimed != nil {
                try await self.awaitLeases(of: generation)
                self.readiness.becomesCurrent(1)
                // From here on connections wait for this process.
                try await self.succession.predecessor?.relieve(taken)
            }
        } catch {
            generation.end()
            throw error
        }
        generation.takeOver()
        await listeners.apply(self.configuration.listeners, opening: opened)
        let addresses = listeners.addresses
        for address in addresses { self.logger.notice("listening", metadata: ["address": "\(PeerText(address))"]) }
        let running = Running(
            group: group, slots: slots, shared: shared, holdings: holdings, listeners: listeners,
            generation: generation,
            retired: NIOLockedValueBox([:]))
        self.state.withLockedValue { $0 = .running(running) }
        self.started(addresses)
        try? await gracefulShutdown()
        try await self.drain()
    }

    /// Takes no more clients, and gives those there are their time; on all event loops at once.
    private func drain() async throws {
        self.readiness.stops()
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
        let time = running.generation.configuration.drain
        self.logger.notice("shutting down")
        await running.listeners.close()
        let progress = self.reportProgress(of: running.shared.clients, within: time)
        defer { progress.cancel() }
        let generations = [running.generation] + running.retired.withLockedValue { Array($0.values) }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for generation in generations {
                tasks.addTask { try await generation.drain(for: time) }
            }
            try await tasks.waitForAll()
        }
    }

    /// Says how many connections there are still, after a second, and then every five.
    private func reportProgress(of clients: ClientConnections, within time: TimeAmount) -> Task<Void, Never> {
        let end = NIODeadline.now() + time
        return Task { [logger = self.logger] in
            var pause = Duration.seconds(1)
            while (try? await Task.sleep(for: pause)) != nil {
                pause = .seconds(5)
                let left = max(.zero, end - .now())
                logger.notice(
                    "waiting for connections to end",
                    metadata: [
                        "connections": "\(clients.count)", "seconds-left": "\(left.nanoseconds / 1_000_000_000)",
                    ])
            }
        }
    }

    /// Sockets that nothing accepts from would keep their clients waiting. Those of a process before are its own to end.
    private func checkInherited() throws {
        let left = self.succession.inherited.left
        guard self.succession.predecessor == nil, let first = left.first else {
            return self.succession.inherited.closeLeft()
        }
        throw EdgeError.unusedSocket(name: first.name, address: "\(PeerText(first.address))")
    }

    /// What of `limits.connections`, as it was at the start, the process has descriptors for.
    ///
    /// - Parameter configuration: whose listeners and key holders take some.
    func connectionLimit(_ configuration: EdgeConfiguration) -> Int {
        let wanted = self.configuration.limits.connections
        let budget = DescriptorBudget(
            limit: self.configuration.descriptorLimit ?? DescriptorLimit.current,
            reserve: configuration.descriptorReserve)
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
