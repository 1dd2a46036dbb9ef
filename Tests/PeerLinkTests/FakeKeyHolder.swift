import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import PrivateAuthority

/// A key holder whose answers the test decides, on a free port behind real mutual TLS.
final class FakeKeyHolder: Sendable {
    typealias Behaviour = @Sendable (KeyMessage) -> KeyMessage?

    /// Who answers requests for leases.
    enum Leases: Sendable {
        /// This stand-in: it gives one at once, and holds what comes then.
        case granting
        /// The behaviour.
        case decided
    }

    let address: PeerAddress
    private let listener: any Channel
    private let connections: NIOLockedValueBox<Int>

    /// How many there have been.
    var connectionCount: Int { self.connections.withLockedValue { $0 } }

    static func start(
        _ credentials: PeerCredentials, on group: any EventLoopGroup, port: Int = 0, leases: Leases = .granting,
        behaviour: @escaping Behaviour
    ) async throws -> FakeKeyHolder {
        let tls = try credentials.serverContext()
        let connections = NIOLockedValueBox(0)
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                connections.withLockedValue { $0 += 1 }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLServerHandler(context: tls), Answering(leases: leases, behaviour: behaviour),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return FakeKeyHolder(listener, connections)
    }

    private init(_ listener: any Channel, _ connections: NIOLockedValueBox<Int>) {
        self.listener = listener
        self.connections = connections
        self.address = PeerAddress(host: "127.0.0.1", port: listener.localAddress?.port ?? 0)
    }

    /// Connects to an edge's port for key holders, and answers there when the edge wants a link.
    ///
    /// - Parameter name: whose it says that it is.
    static func dial(
        _ port: Int, as name: String, _ credentials: PeerCredentials, on group: any EventLoopGroup,
        behaviour: @escaping Behaviour
    ) async throws -> any Channel {
        let tls = try credentials.serverContext()
        let channel = try await ClientBootstrap(group: group).channelOption(.autoRead, value: false)
            .connect(host: "127.0.0.1", port: port).get()
        try await channel.eventLoop.submit {
            // Before there is TLS.
            channel.writeAndFlush(ByteBuffer(string: "latchstring-offer/1 \(name)\n"), promise: nil)
            try channel.pipeline.syncOperations.addHandlers([
                NIOSSLServerHandler(context: tls), Answering(leases: .granting, behaviour: behaviour),
            ])
            try channel.syncOptions?.setOption(.autoRead, value: true)
        }.get()
        return channel
    }

    /// Stops listening; connections that are open stay open.
    func stop() async throws { try await self.listener.close().get() }

    private final class Answering: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        let leases: Leases
        let behaviour: Behaviour
        private var decoder = KeyPacketDecoder()

        init(leases: Leases, behaviour: @escaping Behaviour) {
            self.leases = leases
            self.behaviour = behaviour
        }

        private func answer(_ message: KeyMessage) -> KeyMessage? {
            guard self.leases == .granting, message.function == KeyFunction.lease.rawValue else {
                return self.behaviour(message)
            }
            let known = try? LeaseRequest(decoding: message.payload).generation
            return known == 0 ? FakeKeyHolder.lease(600_000, 1) : nil
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.decoder.receive(self.unwrapInboundIn(data))
            while case .packet(let packet)? = try? self.decoder.next() {
                guard let answer = self.answer(packet.body) else { continue }
                if answer.opcode == Self.hangUp { return context.close(promise: nil) }
                var buffer = context.channel.allocator.buffer(capacity: 1024)
                try? KeyPacket(id: packet.id, body: answer).encode(into: &buffer)
                context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        static let hangUp = Opcode(rawValue: 0x99)
    }

    /// An answer that closes the connection instead.
    static let hangUp = KeyMessage(opcode: Opcode(rawValue: 0x99))
    static let pong = KeyMessage(opcode: .pong)

    static func lease(_ milliseconds: UInt32, _ generation: UInt64) -> KeyMessage {
        KeyMessage(
            opcode: .success, payload: LeaseAnswer(milliseconds: milliseconds, generation: generation).encoded())
    }

    static func success(_ text: String) -> KeyMessage {
        KeyMessage(opcode: .success, payload: ByteBuffer(string: text))
    }
}

/// Identities made for one test.
struct TestFleet {
    let authority: FleetAuthority

    init() throws { self.authority = try FleetAuthority(name: "test fleet") }

    func credentials(_ role: IdentityRole, _ name: String, trusting other: FleetAuthority? = nil) throws
        -> PeerCredentials
    {
        let issued = try self.authority.issueIdentity(role: role, name: name)
        return try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM,
            authorityPEM: (other ?? self.authority).certificatePEM)
    }
}
