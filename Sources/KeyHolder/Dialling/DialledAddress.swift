import Admission
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import PeerLink
import StreamWire
import Synchronization
import TLSWire
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One edge's address: opens connections to it as ``DialTarget`` says, and has them served as those that edges open.
final class DialledAddress: Sendable {
    /// For a connection to come about, the look-up of its name included.
    private static let connectTime = TimeAmount.seconds(5)
    /// Edges send pings every few seconds. A firewall that has forgotten a connection says nothing.
    private static let silence = TimeAmount.seconds(30)

    private struct State {
        var target: DialTarget
        var channels: [DialTarget.Connection: any Channel] = [:]
        var timer: Scheduled<Void>?
        /// Why there is no link; nil: there is one, or it is not known yet.
        var problem: String?
    }

    let address: PeerAddress
    private let core: KeyHolderCore
    private let native: NativeService
    private let group: any EventLoopGroup
    private let loop: any EventLoop
    private let trust: @Sendable () -> (PeerCredentials, generation: Int)
    private let changed: @Sendable () -> Void
    private let state: Mutex<State>
    private let logger: Logger

    /// - Parameters:
    ///   - native: takes connections that the edge wants for native clients.
    ///   - trust: what a new connection is verified with, and of which generation that is.
    ///   - changed: ``figures`` are others now.
    init(
        _ address: PeerAddress, core: KeyHolderCore, native: NativeService, group: any EventLoopGroup,
        trust: @escaping @Sendable () -> (PeerCredentials, generation: Int),
        changed: @escaping @Sendable () -> Void
    ) {
        self.address = address
        self.core = core
        self.native = native
        self.group = group
        self.loop = group.next()
        self.trust = trust
        self.changed = changed
        self.state = Mutex(State(target: DialTarget(now: Self.now)))
        var logger = core.logger
        logger[metadataKey: "address"] = "\(address)"
        self.logger = logger
    }

    private static var now: Int64 { Int64(clamping: Clock.monotonic()) }

    var figures: (links: Int, offers: Int, problem: String?) {
        self.state.withLock { state in
            let links = state.target.links
            return (links, state.target.offers, links > 0 ? nil : state.problem)
        }
    }

    // MARK: Orders

    /// Does what is due.
    func advance() {
        let (step, closed) = self.state.withLock { state -> (DialTarget.Step, [any Channel]) in
            let step = state.target.step(now: Self.now)
            state.timer?.cancel()
            state.timer = step.at.map { at in
                self.loop.scheduleTask(deadline: .uptimeNanoseconds(UInt64(clamping: at))) { self.advance() }
            }
            return (step, step.close.compactMap { state.channels.removeValue(forKey: $0) })
        }
        for channel in closed { channel.close(promise: nil) }
        for connection in step.dial { self.open(connection) }
        self.changed()
    }

    /// Grants are others now. An edge that has one again is dialled.
    func reconsider() {
        let policy = self.core.policy
        let isGranted = self.state.withLock { state in
            guard let edge = state.target.ungranted, policy.knows(edge: edge) else { return false }
            state.target.granted()
            return true
        }
        if isGranted { self.advance() }
    }

    /// After a reload: offers are made anew with what it brought, and an edge without a grant may have made way for another.
    func renew() {
        self.close { target in
            target.granted()
            return target.takeOffers()
        }
        self.advance()
    }

    /// Dials no more. Links are not touched.
    func stop() {
        self.close { $0.stop() }
        self.state.withLock { $0.timer?.cancel() }
    }

    /// The address is no more in the configuration: its links finish what is under way, and end.
    func dismiss() {
        self.stop()
        let channels = self.state.withLock { Array($0.channels.values) }
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.drain) }
    }

    private func close(_ offers: (inout DialTarget) -> [DialTarget.Connection]) {
        let closed = self.state.withLock { state in
            offers(&state.target).compactMap { state.channels.removeValue(forKey: $0) }
        }
        for channel in closed { channel.close(promise: nil) }
    }

    // MARK: Connections

    private func open(_ connection: DialTarget.Connection) {
        var bootstrap = ClientBootstrap(group: self.group.next())
            .connectTimeout(Self.connectTime)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
        #if os(Linux)
            // An offer carries nothing for minutes: that its other end is gone is found within half a minute.
            for (option, value) in [(TCP_KEEPIDLE, 10), (TCP_KEEPINTVL, 5), (TCP_KEEPCNT, 4)] {
                bootstrap = bootstrap.channelOption(.tcpOption(.init(rawValue: option)), value: value)
            }
        #endif
        bootstrap.connect(host: self.address.host, port: self.address.port).whenComplete { result in
            switch result {
            case .success(let channel): self.offer(channel, connection)
            case .failure(let error): self.ended(connection, SystemError.text(error))
            }
        }
    }

    /// Says who this is, and has the edge begin TLS when it wants a link. Nothing is read or written before that.
    private func offer(_ channel: any Channel, _ connection: DialTarget.Connection) {
        guard self.core.registry.dialled(channel) else {
            channel.close(promise: nil)
            return self.ended(connection, "this key holder takes no further connection now")
        }
        let isWanted = self.state.withLock { state in
            guard state.target.connections[connection] == .dialling else { return false }
            state.channels[connection] = channel
            state.target.offered(connection, now: Self.now, random: Double.random(in: 0...1))
            return true
        }
        guard isWanted else {
            self.core.registry.closed(channel)
            return channel.close(promise: nil)
        }
        channel.closeFuture.whenComplete { _ in
            self.core.registry.closed(channel)
            self.core.metrics.connections(self.core.registry.count)
            self.ended(connection, "the edge closed the connection")
        }
        let (credentials, generation) = self.trust()
        guard let offer = LinkOffer(name: credentials.identity.name) else { return channel.close(promise: nil) }
        do {
            let dialled = DialledConnection(
                address: self.address, linked: { self.linked(connection) },
                ungranted: { self.ungranted($0) })
            let server = KeyHolderConnection(
                core: self.core, trustGeneration: generation, now: Clock.monotonic(), dialled: dialled)
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(
                OfferedConnection {
                    self.taken(connection)
                    server.offerTaken()
                })
            try pipeline.addHandler(
                HelloGate { hello in
                    // The edge says what it wants the connection for.
                    if hello.accepts(anyOf: [StreamFrame.protocolName]), !hello.applicationProtocols.isEmpty {
                        self.core.registry.closed(channel)
                        pipeline.removeHandler(server, promise: nil)
                        do { try self.native.take(channel, generation: generation, dialled: dialled) } catch {
                            channel.close(promise: nil)
                            throw error
                        }
                    }
                    return try credentials.serverContext(protocols: [StreamFrame.protocolName])
                })
            try pipeline.addHandler(IdleStateHandler(readTimeout: Self.silence))
            try pipeline.addHandler(server)
            channel.writeAndFlush(offer.encoded(), promise: nil)
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            channel.close(promise: nil)
        }
        self.advance()
    }

    private func taken(_ connection: DialTarget.Connection) {
        self.state.withLock { $0.target.taken(connection) }
        self.advance()
    }

    private func linked(_ connection: DialTarget.Connection) {
        self.state.withLock { state in
            state.target.linked(connection)
            state.problem = nil
        }
        self.advance()
    }

    private func ungranted(_ edge: String) {
        self.state.withLock { $0.problem = "edge \(edge) has no grant" }
        self.close { $0.ungranted(edge, now: Self.now) }
        // A grant may have come just before.
        self.reconsider()
        self.advance()
    }

    private func ended(_ connection: DialTarget.Connection, _ reason: String) {
        let (state, problem, isNews) = self.state.withLock { state -> (DialTarget.State?, String, Bool) in
            state.channels[connection] = nil
            let ended = state.target.ended(connection, now: Self.now, random: Double.random(in: 0...1))
            let problem: String
            switch ended {
            case .dialling: problem = reason
            case .offered: problem = "it does not take connections of this key holder, or is about to end"
            case .shaking: problem = "no link came of a connection: the lines before say why"
            case .link, nil: return (ended, "", false)
            }
            defer { if state.target.links == 0 { state.problem = problem } }
            return (ended, problem, state.target.links == 0 && state.problem != problem)
        }
        guard let state else { return }
        if state == .dialling { self.core.metrics.dialFailed() }
        if !problem.isEmpty {
            var metadata: Logger.Metadata = ["reason": "\(problem)"]
            if case .offered = state {
                metadata["remedy"] = "have the edge's file name this key holder in dialled-by, and see the edge's log"
            }
            self.logger.log(level: isNews ? .warning : .debug, "no link to an edge", metadata: metadata)
        }
        self.advance()
    }
}

/// What a connection that was opened to an edge tells of itself.
struct DialledConnection {
    let address: PeerAddress
    /// The edge has proved who it is, and has a grant.
    let linked: @Sendable () -> Void
    /// It has proved who it is, and has no grant, or none any more.
    let ungranted: @Sendable (_ edge: String) -> Void
}

/// First in the pipeline of a connection that was opened to an edge: notices that the edge takes it.
private final class OfferedConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var taken: (() -> Void)?

    init(taken: @escaping () -> Void) { self.taken = taken }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.taken?()
        self.taken = nil
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
