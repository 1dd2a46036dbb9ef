import CacheStorage
import Channels
public import EdgeHTTP
import EdgeModel
public import FleetLink
public import Logging
public import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
public import ServiceLifecycle
import TLSWire
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The edge as a service: one set of listening sockets per event loop, each accepting for itself alone, so that a
/// connection never changes threads.
public final class EdgeServer: Service {
    private let configuration: EdgeConfiguration
    private let logger: Logger
    private let started: @Sendable ([SocketAddress]) -> Void
    /// Set while it runs; read by health checks.
    private let readiness: EdgeReadiness
    private let cache: CacheAdministration
    private let fleetStatus: FollowStatus

    /// - Parameter started: called once with the addresses that it listens on.
    public init(
        configuration: EdgeConfiguration, logger: Logger, readiness: EdgeReadiness = EdgeReadiness(),
        cache: CacheAdministration = CacheAdministration(), fleetStatus: FollowStatus = FollowStatus(),
        started: @escaping @Sendable ([SocketAddress]) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.logger = logger
        self.readiness = readiness
        self.cache = cache
        self.fleetStatus = fleetStatus
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
        try? await group.shutdownGracefully()
        try result.get()
    }

    private func serve(on group: MultiThreadedEventLoopGroup) async throws {
        let store = try await self.configuration.openStore(on: group, logger: self.logger)
        self.cache.opened(store, for: self.configuration.sites)
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
        let table = try SiteTable(sites: self.configuration.sites, defaultSite: self.configuration.defaultSite)
        let tls = try self.configuration.credentials?.clientContext()
        let resources = try EdgeResources(
            configuration: self.configuration, connections: self.connectionLimit(), store: store, group: group,
            logger: self.logger)
        defer { resources.shutdown() }
        var loops: [NIOLoopBound<EdgeLoop>] = []
        for (index, eventLoop) in group.makeIterator().enumerated() {
            let configuration = self.configuration
            let logger = self.logger
            loops.append(
                try await eventLoop.submit {
                    let loop = try EdgeLoop(
                        eventLoop: eventLoop, index: index, configuration: configuration, table: table, tls: tls,
                        resources: resources, logger: logger)
                    return NIOLoopBound(loop, eventLoop: eventLoop)
                }.get())
        }
        let listeners = try await self.bind(loops)
        let addresses = listeners.compactMap { $0.localAddress }
        var seen: [SocketAddress] = []
        for address in addresses where !seen.contains(address) { seen.append(address) }
        let unique = seen
        resources.relay.setOwnListeners(unique)
        let first = loops[0]
        let outdated: @Sendable (ServerNamePattern) -> Void = { pattern in
            first.eventLoop.execute { first.value.refreshCertificate(of: pattern) }
        }
        // Before any link is up, so that no news is missed.
        try await self.startKeepers(on: loops)
        for loop in loops {
            try await loop.eventLoop.submit { loop.value.start(onOutdated: outdated) }.get()
        }
        for listener in listeners { try await listener.setOption(.autoRead, value: true).get() }
        for address in unique { self.logger.notice("listening", metadata: ["address": "\(PeerText(address))"]) }
        self.started(unique)
        try? await gracefulShutdown()
        self.logger.notice("shutting down")
        for listener in listeners { try? await listener.close().get() }
        for loop in loops { try await loop.eventLoop.flatSubmit { loop.value.drain(for: Self.drainTime) }.get() }
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

    /// The leases are kept on the first loop; what becomes of them goes to all of them.
    private func startKeepers(on loops: [NIOLoopBound<EdgeLoop>]) async throws {
        guard let first = loops.first else { return }
        let readiness = self.readiness
        for site in self.configuration.sites {
            if site.mode.terminatesTLS { site.domains.forEach(readiness.expects) }
        }
        try await first.eventLoop.submit {
            first.value.startKeepers { pattern, news in
                readiness.heard(pattern, news)
                for loop in loops {
                    loop.eventLoop.execute { loop.value.received(news, for: pattern) }
                }
            } publishStanding: { keyHolder, end in
                readiness.heard(keyHolder, end)
                for loop in loops {
                    loop.eventLoop.execute { loop.value.received(end, from: keyHolder) }
                }
            }
        }.get()
    }

    // MARK: Listening

    private func bind(_ loops: [NIOLoopBound<EdgeLoop>]) async throws -> [any Channel] {
        var channels: [any Channel] = []
        do {
            for address in self.configuration.listen {
                // SO_REUSEPORT would let a second edge share the port by mistake; a plain bind first finds that out.
                let probe = try await self.bootstrap(loops[0], address, reusePort: false)
                    .bind(host: address.host, port: address.port).get()
                let port = probe.localAddress?.port ?? address.port
                if loops.count == 1 {
                    channels.append(probe)
                    continue
                }
                try await probe.close().get()
                for loop in loops {
                    channels.append(
                        try await self.bootstrap(loop, address, reusePort: true)
                            .bind(host: address.host, port: port).get())
                }
            }
        } catch {
            for channel in channels { try? await channel.close().get() }
            throw error
        }
        return channels
    }

    private func bootstrap(
        _ loop: NIOLoopBound<EdgeLoop>, _ address: ListenAddress, reusePort: Bool
    ) -> ServerBootstrap {
        let policy = address.policy
        let logger = self.logger
        var bootstrap = ServerBootstrap(group: loop.eventLoop, childGroup: loop.eventLoop)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let gate = AcceptGate(address: "\(address.host):\(address.port)", logger: logger)
                    try channel.pipeline.syncOperations.addHandler(gate)
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try loop.value.accept(channel, policy) }
            }
        if reusePort {
            bootstrap = bootstrap.serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
        }
        return bootstrap
    }
}
