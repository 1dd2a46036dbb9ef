import Admission
import Channels
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import StreamWire
import Synchronization
import Telemetry

/// The key holder's links for native clients: those that edges open at its listener, and those that edges take of what it dials.
final class NativeService: Sendable {
    private let configuration: NativeConfiguration
    private let core: KeyHolderCore
    private let registry: ConnectionRegistry
    private let census: NativeCensus
    private let group: any EventLoopGroup
    private let listeners = Mutex<[HolderListener]>([])
    private let isStopping = Atomic<Bool>(false)

    /// Edges send pings every few seconds.
    private static let silence = TimeAmount.seconds(30)

    init(configuration: NativeConfiguration, core: KeyHolderCore, group: any EventLoopGroup) {
        self.group = group
        self.configuration = configuration
        self.core = core
        var limits: KeyHolderLimits = core.limits
        limits.connectionsPerEdge = min(limits.connectionsPerEdge, configuration.limits.linksPerEdge)
        self.registry = ConnectionRegistry(limits: limits)
        self.census = NativeCensus(limits: configuration.limits)
    }

    /// Native clients at this moment.
    var connectionCount: Int { self.census.count }
    /// Links of edges at this moment.
    var linkCount: Int { self.registry.count }
    var linksByEdge: [String: Int] { self.registry.connectionsByEdge }

    /// Binds every address.
    ///
    /// - Parameter trust: What a new connection is verified with, and of which generation that is.
    /// - Throws: ``KeyHolderError/cannotListen(_:)``.
    func start(
        inherited: InheritedListeners,
        trust: @escaping @Sendable () -> (PeerCredentials, generation: Int)
    ) async throws -> [SocketAddress] {
        let core: KeyHolderCore = self.core
        let registry: ConnectionRegistry = self.registry
        let bootstrap = ServerBootstrap(group: self.group)
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
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { [self] channel in
                let now: UInt64 = Clock.monotonic()
                switch registry.accepted(channel, from: ClientNetwork(channel.remoteAddress)) {
                case .accepted(let evicted):
                    evicted?.pipeline.fireUserInboundEventTriggered(ConnectionCommand.evict)
                case .refused(let refusal):
                    core.auditRepeated(
                        edge: nil, address: channel.remoteAddress.map { "\(PeerText($0))" }, outcome: .refused,
                        detail: "limit of links for native clients: \(refusal)", since: now)
                    return channel.close()
                }
                channel.closeFuture.whenComplete { _ in registry.closed(channel) }
                let (credentials, generation) = trust()
                return channel.eventLoop.makeCompletedFuture {
                    // A context of its own for each connection, as for every link: see ``KeyHolderServer``.
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(
                        HelloGate { _ in try credentials.serverContext(protocols: [StreamFrame.protocolName]) })
                    try pipeline.addHandler(IdleStateHandler(readTimeout: Self.silence))
                    try self.addLink(to: channel, generation: generation, now: now)
                }
            }
        for address in self.configuration.listen {
            do {
                let channels: [any Channel] = try await bootstrap.listen(
                    host: address.host, port: address.port, inherited: inherited)
                self.listeners.withLock { $0 += HolderListener.all(channels, at: address) }
            } catch {
                throw KeyHolderError.cannotListen(
                    SystemError.cannotListen(on: "\(address)", port: address.port, error))
            }
        }
        let addresses: [SocketAddress] = self.listeners.withLock {
            $0.compactMap(\.channel.localAddress)
        }
        for address in addresses {
            let text = PeerAddress(host: address.ipAddress ?? "", port: address.port ?? 0)
            core.logger.notice("listening for native connections", metadata: ["address": "\(text)"])
        }
        return addresses
    }

    private func addLink(
        to channel: any Channel, generation: Int, now: UInt64, dialled: DialledConnection? = nil
    ) throws {
        try channel.syncOptions?.setOption(
            .writeBufferWaterMark,
            value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10))
        try channel.pipeline.syncOperations.addHandler(
            NativeLink(
                core: self.core, limits: self.configuration.limits, registry: self.registry,
                census: self.census,
                trustGeneration: generation, now: now, dialled: dialled))
    }

    /// Takes a connection that this key holder has opened, and that the edge wants for native clients. On its event loop.
    ///
    /// - Throws: if there is no room, or the channel is closed.
    func take(_ channel: any Channel, generation: Int, dialled: DialledConnection) throws {
        guard self.registry.dialled(channel) else { throw ChannelError.ioOnClosedChannel }
        let registry: ConnectionRegistry = self.registry
        channel.closeFuture.whenComplete { _ in registry.closed(channel) }
        try self.addLink(to: channel, generation: generation, now: Clock.monotonic(), dialled: dialled)
    }

    /// After a reload: what is not allowed any more ends at once.
    func reconsider() {
        self.census.keep(where: self.core.policy.knows)
        for channel in self.registry.channels(ofEdgesNot: { _ in false }) {
            channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.reconsider)
        }
        self.census.tell(.reconsider, on: self.group)
    }

    /// Where it listens.
    var listening: [HolderListener] { self.listeners.withLock { $0 } }

    /// Takes no further streams: edges open them over new links. What is under way goes on.
    func rest() {
        for channel in self.registry.channels(ofEdgesNot: { _ in false }) {
            channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.drain)
        }
    }

    /// Ends what is no stream of data yet, and links that have none. Nothing that comes after that leaves an audit line.
    func endHandshakes() {
        for channel in self.registry.shutDown() {
            channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.endHandshakes)
        }
        self.census.tell(.endHandshakes, on: self.group)
    }

    /// Takes links again, after ``endHandshakes()``.
    func reopen() {
        if !self.isStopping.load(ordering: .relaxed) { self.registry.reopen() }
    }

    /// Stops listening; handshakes end, streams have the drain timeout.
    func stop() async {
        self.isStopping.store(true, ordering: .relaxed)
        let listeners: [HolderListener] = self.listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in listeners { try? await listener.channel.close().get() }
        let deadline = NIODeadline.now() + self.core.limits.drainTimeout
        await self.registry.drain(within: self.core.limits.drainTimeout)
        // No stream comes any more. An application takes an orderly end for the end of what a client had to say.
        await Self.breakOff(self.census.streams, at: deadline) { ($0 as? StreamChannel)?.reset(.broken) }
        while self.census.isDialling, NIODeadline.now() < deadline { await self.group.any().pause(.milliseconds(5)) }
        self.census.tell(.endHandshakes, on: self.group)
        for loop in self.group.makeIterator() { try? await loop.submit {}.get() }
        await Self.breakOff(self.census.applications, at: deadline) { $0.reset() }
    }

    /// Returns when all of them are closed, by themselves or, from then on, in this way.
    private static func breakOff(
        _ channels: [any Channel], at deadline: NIODeadline, _ end: @escaping @Sendable (any Channel) -> Void
    ) async {
        let timers: [Scheduled<Void>] = channels.map { channel in
            channel.eventLoop.scheduleTask(deadline: deadline) { end(channel) }
        }
        for channel in channels { try? await channel.closeFuture.get() }
        for timer in timers { timer.cancel() }
    }
}

extension EventLoop {
    /// Also in a task that is cancelled.
    func pause(_ time: TimeAmount) async { try? await self.scheduleTask(in: time) {}.futureResult.get() }
}
