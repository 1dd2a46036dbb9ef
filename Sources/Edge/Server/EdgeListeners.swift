import Channels
import EdgeModel
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import PeerLink
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The listening sockets: a set of them per address, one for each event loop, so that a connection never changes threads.
struct EdgeListeners: Sendable {
    fileprivate struct Listener: Sendable {
        var address: ListenAddress
        let channels: [any Channel]
        let policy: NIOLockedValueBox<ListenerPolicy>
    }

    private let slots: [NIOLoopBound<LoopSlot>]
    /// Of all their event loops.
    private let group: any EventLoopGroup
    private let inherited: InheritedListeners
    /// Takes connections of key holders.
    private let intake: LinkIntake
    private let logger: Logger
    private var listeners: [Listener] = []

    /// How long the queue of a listener that is to be closed is accepted from.
    private static let lastAccepts = TimeAmount.seconds(1)

    init(
        on slots: [NIOLoopBound<LoopSlot>], of group: any EventLoopGroup, inherited: InheritedListeners,
        intake: LinkIntake, logger: Logger
    ) {
        self.intake = intake
        self.slots = slots
        self.group = group
        self.inherited = inherited
        self.logger = logger
    }

    /// The addresses, each once.
    var addresses: [SocketAddress] {
        var seen: [SocketAddress] = []
        for address in self.listeners.flatMap(\.channels).compactMap(\.localAddress) where !seen.contains(address) {
            seen.append(address)
        }
        return seen
    }

    /// Binds what is not bound yet, without accepting there. Throws if one cannot be bound: then none of them is.
    ///
    /// - Returns: what is to be given to ``apply(_:opening:)``.
    func bind(_ addresses: [ListenAddress]) async throws -> Opened {
        var opened = Opened()
        do {
            for address in addresses where !self.listeners.contains(where: { $0.address.isAt(address) }) {
                let policy = NIOLockedValueBox(address.policy)
                let channels: [any Channel]
                do { channels = try await self.bind(address, policy) } catch {
                    throw EdgeError.cannotListen(
                        SystemError.cannotListen(on: "\(address.host):\(address.port)", port: address.port, error))
                }
                opened.listeners.append(Listener(address: address, channels: channels, policy: policy))
            }
        } catch {
            await opened.close()
            throw error
        }
        return opened
    }

    /// What was bound, and does not accept yet.
    struct Opened: Sendable {
        fileprivate var listeners: [Listener] = []

        var addresses: [SocketAddress] { self.listeners.flatMap(\.channels).compactMap(\.localAddress) }

        /// Before clients: without key holders there is nothing to serve them with.
        func acceptKeyHolders() async {
            for listener in self.listeners where listener.address.policy == .keyHolders {
                for channel in listener.channels { try? await channel.setOption(.autoRead, value: true).get() }
            }
        }

        func close() async {
            await self.listeners.flatMap(\.channels).close()
        }
    }

    /// Accepts at these addresses from now on, as each says, and at no other.
    mutating func apply(_ addresses: [ListenAddress], opening opened: Opened) async {
        for channel in opened.listeners.flatMap(\.channels) {
            // Fails where the socket is closed already.
            try? await channel.setOption(.autoRead, value: true).get()
        }
        var kept: [Listener] = []
        var gone: [any Channel] = []
        for var listener in self.listeners {
            if let address = addresses.first(where: { $0.isAt(listener.address) }) {
                listener.address = address
                listener.policy.withLockedValue { $0 = address.policy }
                kept.append(listener)
            } else {
                gone += listener.channels
            }
        }
        self.listeners = kept + opened.listeners
        await gone.closeWhenEmpty(within: Self.lastAccepts)
    }

    /// Accepts nothing more, after what waits already.
    func close() async { await self.listeners.flatMap(\.channels).closeWhenEmpty(within: Self.lastAccepts) }

    // MARK: A successor

    /// Leaves connections of key holders to another process that has the same sockets, or goes on after all.
    func restKeyHolders(_ isResting: Bool) async {
        for listener in self.listeners where listener.address.policy == .keyHolders {
            for channel in listener.channels { try? await channel.setOption(.autoRead, value: !isResting).get() }
        }
        self.intake.rest(isResting)
    }

    /// A socket, for another process.
    struct Passed: Sendable {
        var descriptor: CInt
        /// As ``InheritedListeners`` knows it.
        var name: String
        fileprivate var channel: any Channel
    }

    /// All sockets, each once more. The descriptors are the caller's.
    func passed() async -> [Passed] {
        var passed: [Passed] = []
        for listener in self.listeners {
            for channel in listener.channels {
                guard let descriptor = await ListeningChannel.descriptor(of: channel) else { continue }
                passed.append(Passed(descriptor: descriptor, name: listener.address.name, channel: channel))
            }
        }
        return passed
    }

    /// Leaves connections in the queues of sockets that another process is about to accept from, or goes on after all.
    ///
    /// - Parameter taken: numbers among `passed`.
    func rest(_ passed: [Passed], taken: Set<Int>, _ isResting: Bool) async {
        for number in passed.indices where taken.contains(number) {
            // Fails where the socket is closed already.
            try? await passed[number].channel.setOption(.autoRead, value: !isResting).get()
        }
    }

    /// Another process accepts at the sockets that it took, so that these are closed as they are; of the others what waits is accepted first.
    ///
    /// - Parameter taken: numbers among `passed`.
    func close(_ passed: [Passed], taken: Set<Int>) async {
        await passed.indices.filter(taken.contains).map { passed[$0].channel }.close()
        await self.close()
    }

    // MARK: Binding

    private func bind(
        _ address: ListenAddress, _ policy: NIOLockedValueBox<ListenerPolicy>
    ) async throws -> [any Channel] {
        let inherited = self.inherited.take(host: address.host, port: address.port)
        guard inherited.isEmpty else { return try await self.adopt(inherited.map(\.descriptor), address, policy) }
        // SO_REUSEPORT would let a second edge share the port by mistake; a plain bind first finds that out.
        let probe = try await self.bootstrap(self.slots[0], address, policy, reusePort: false)
            .bind(host: address.host, port: address.port).get()
        guard self.slots.count > 1 else { return [probe] }
        let port = probe.localAddress?.port ?? address.port
        try await probe.close().get()
        var channels: [any Channel] = []
        do {
            for slot in self.slots {
                channels.append(
                    try await self.bootstrap(slot, address, policy, reusePort: true)
                        .bind(host: address.host, port: port).get())
            }
        } catch {
            await channels.close()
            throw error
        }
        return channels
    }

    /// Each socket is accepted from on one event loop. Where there are fewer sockets than loops, that one gives connections to all loops in
    /// turn: with a copy of the socket on each, all would be woken for every connection.
    private func adopt(
        _ descriptors: [CInt], _ address: ListenAddress, _ policy: NIOLockedValueBox<ListenerPolicy>
    ) async throws -> [any Channel] {
        var channels: [any Channel] = []
        let spreads = descriptors.count < self.slots.count
        for (number, descriptor) in descriptors.enumerated() {
            let slot = self.slots[number % self.slots.count]
            channels.append(
                try await self.bootstrap(slot, address, policy, reusePort: false, spreads: spreads)
                    .listen(at: descriptor))
        }
        return channels
    }

    private func bootstrap(
        _ slot: NIOLoopBound<LoopSlot>, _ address: ListenAddress, _ policy: NIOLockedValueBox<ListenerPolicy>,
        reusePort: Bool, spreads: Bool = false
    ) -> ServerBootstrap {
        let logger = self.logger
        let intake = self.intake
        let slots = spreads ? self.slots : [slot]
        @Sendable func setUp(_ channel: any Channel) throws {
            guard let slot = slots.first(where: { $0.eventLoop === channel.eventLoop }) else {
                throw ChannelError.inappropriateOperationForState
            }
            let present = policy.withLockedValue { $0 }
            guard present != .keyHolders else { return try intake.accepted(channel) }
            try slot.value.accept(channel, present)
        }
        var bootstrap = ServerBootstrap(group: slot.eventLoop, childGroup: spreads ? self.group : slot.eventLoop)
            .serverChannelOption(.backlog, value: listenBacklog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            // After a connection most of the time there is no other one, and to ask costs a system call.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            // Accepted sockets have it from this one: an option of theirs would cost each connection two system calls.
            .serverChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let gate = AcceptGate(address: "\(address.host):\(address.port)", logger: logger)
                    try channel.pipeline.syncOperations.addHandler(gate)
                    try channel.pipeline.syncOperations.addHandler(AcceptHandler(setUp))
                }
            }
            .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try setUp(channel) } }
        if reusePort {
            bootstrap = bootstrap.serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
        }
        return bootstrap
    }
}

extension [any Channel] {
    /// Closes all of them, those that are closed already included.
    fileprivate func close() async {
        for channel in self { try? await channel.close().get() }
    }

    fileprivate func closeWhenEmpty(within time: TimeAmount) async {
        await withTaskGroup(of: Void.self) { group in
            for channel in self { group.addTask { await ListeningChannel.closeWhenEmpty(channel, within: time) } }
        }
    }
}

extension ListenAddress {
    /// Whether it is the same place, whatever its policy.
    fileprivate func isAt(_ other: ListenAddress) -> Bool { self.host == other.host && self.port == other.port }

    fileprivate var name: String { InheritedListeners.name(host: self.host, port: self.port) }
}
