import Admission
import Channels
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import Synchronization
import Telemetry

/// The key holder's listener for native connections.
final class NativeService: Sendable {
    private let configuration: NativeConfiguration
    private let core: KeyHolderCore
    private let registry: ConnectionRegistry
    private let listeners = Mutex<[HolderListener]>([])

    init(configuration: NativeConfiguration, core: KeyHolderCore) {
        self.configuration = configuration
        self.core = core
        // One connection for each client, all from a few edges' addresses.
        var limits: KeyHolderLimits = core.limits
        limits.connections = configuration.limits.connections
        limits.connectionsPerEdge = configuration.limits.connectionsPerEdge
        limits.handshakes = 4 * core.limits.handshakes
        limits.handshakesPerAddress = 2 * core.limits.handshakes
        self.registry = ConnectionRegistry(limits: limits)
    }

    /// Connections of edges at this moment.
    var connectionCount: Int { self.registry.count }

    /// Binds every address.
    ///
    /// - Parameter trust: What a new connection is verified with, and of which generation that is.
    /// - Throws: ``KeyHolderError/cannotListen(_:)``.
    func start(
        on group: any EventLoopGroup, inherited: InheritedListeners,
        trust: @escaping @Sendable () -> (PeerCredentials, generation: Int)
    ) async throws -> [SocketAddress] {
        let core: KeyHolderCore = self.core
        let registry: ConnectionRegistry = self.registry
        let limits: NativeLimits = self.configuration.limits
        let bootstrap = ServerBootstrap(group: group)
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
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
            )
            .childChannelInitializer { channel in
                let now: UInt64 = Clock.monotonic()
                switch registry.accepted(channel, from: ClientNetwork(channel.remoteAddress)) {
                case .accepted(let evicted):
                    evicted?.pipeline.fireUserInboundEventTriggered(ConnectionCommand.evict)
                case .refused(let refusal):
                    core.auditRepeated(
                        edge: nil, address: channel.remoteAddress.map { "\(PeerText($0))" }, outcome: .refused,
                        detail: "limit of native connections: \(refusal)", since: now)
                    return channel.close()
                }
                channel.closeFuture.whenComplete { _ in registry.closed(channel) }
                let (credentials, generation) = trust()
                return channel.eventLoop.makeCompletedFuture {
                    // A context of its own for each connection, as for every link: see ``KeyHolderServer``.
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(HelloGate { try credentials.serverContext() })
                    try pipeline.addHandler(IdleStateHandler(allTimeout: limits.idleTimeout))
                    try pipeline.addHandler(
                        NativeIntake(
                            core: core, limits: limits, registry: registry, trustGeneration: generation, now: now))
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
        let addresses: [SocketAddress] = self.listeners.withLock { $0.compactMap(\.channel.localAddress) }
        for address in addresses {
            let text = PeerAddress(host: address.ipAddress ?? "", port: address.port ?? 0)
            core.logger.notice("listening for native connections", metadata: ["address": "\(text)"])
        }
        return addresses
    }

    /// After a reload: connections that are not allowed any more end at once.
    func reconsider() {
        for channel in self.registry.channels(ofEdgesNot: { _ in false }) {
            channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.reconsider)
        }
    }

    /// Where it listens.
    var listening: [HolderListener] { self.listeners.withLock { $0 } }

    /// Ends what is no stream yet. Nothing that comes after that leaves an audit line.
    func endHandshakes() {
        for channel in self.registry.shutDown() {
            channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.drain)
        }
    }

    /// Takes connections again, after ``endHandshakes()``.
    func reopen() { self.registry.reopen() }

    /// Stops listening; handshakes end, streams have the drain timeout.
    func stop() async {
        let listeners: [HolderListener] = self.listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in listeners { try? await listener.channel.close().get() }
        await self.registry.drain(within: self.core.limits.drainTimeout)
    }
}
