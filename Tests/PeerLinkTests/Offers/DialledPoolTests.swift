import KeyProtocol
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import PrivateAuthority
import Telemetry
import Testing

@testable import PeerLink

/// Links over connections that key holders open, on several event loops.
@Suite(.timeLimit(.minutes(1))) struct DialledPoolTests {
    private static let signing: FakeKeyHolder.Behaviour = {
        $0.opcode == .ping ? FakeKeyHolder.pong : FakeKeyHolder.success("signed")
    }

    /// An edge's end: a port for key holders, and a pool on each of three event loops.
    private final class Edge: Sendable {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 3)
        let fleet: TestFleet
        private let listener: any Channel
        private let pools: [NIOLoopBound<KeyHolderPool>]
        private let counts = NIOLockedValueBox(0)

        init(_ addresses: [PeerAddress] = [], fleet: TestFleet? = nil) async throws {
            let fleet = try fleet ?? TestFleet()
            self.fleet = fleet
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let intake = LinkIntake(reports: ReportLog(logger, clock: nil))
            self.listener = try await ServerBootstrap(group: self.group)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try intake.accepted(channel) }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            let tls = try fleet.credentials(.edge, "paris").clientContext()
            let home = try PeerIdentity(role: .keyholder, name: "home")
            var pools: [NIOLoopBound<KeyHolderPool>] = []
            for loop in self.group.makeIterator() {
                pools.append(
                    try await loop.submit { [counts = self.counts] in
                        var configuration = KeyHolderPool.Configuration(expected: home, addresses: addresses)
                        configuration.dialledBy = [home]
                        configuration.deadline = .seconds(5)
                        let pool = KeyHolderPool(
                            configuration: configuration, tls: tls, intake: intake, eventLoop: loop, logger: logger)
                        pool.onReady { counts.withLockedValue { $0 += 1 } }
                        pool.start()
                        return NIOLoopBound(pool, eventLoop: loop)
                    }.get())
            }
            self.pools = pools
        }

        /// How often a link became ready, on all event loops.
        var ready: Int { self.counts.withLockedValue { $0 } }

        func dial(
            as name: String = "home", _ credentials: PeerCredentials? = nil,
            _ behaviour: @escaping FakeKeyHolder.Behaviour = DialledPoolTests.signing
        ) async throws -> any Channel {
            try await FakeKeyHolder.dial(
                self.listener.localAddress?.port ?? 0, as: name,
                credentials ?? self.fleet.credentials(.keyholder, "home"), on: self.group, behaviour: behaviour)
        }

        func ask(excluding excluded: Set<Int> = []) async throws -> [String] {
            var answers: [String] = []
            for pool in self.pools {
                let answer = try await pool.eventLoop.flatSubmit {
                    pool.value.request(KeyMessage(opcode: .custom, function: "sign"), excluding: excluded)
                }.get()
                answers.append(String(buffer: answer.payload))
            }
            return answers
        }

        func stop() async throws {
            for pool in self.pools { try await pool.eventLoop.submit { pool.value.stop() }.get() }
            try await self.listener.close().get()
            try await self.group.shutdownGracefully()
        }
    }

    @Test("Each event loop has a link, and has the next connection at once when its own breaks")
    func loops() async throws {
        let edge = try await Edge()
        var connections: [any Channel] = []
        for _ in 0..<5 { connections.append(try await edge.dial()) }
        try await eventually { edge.ready == 3 }
        #expect(try await edge.ask() == ["signed", "signed", "signed"])
        // Two wait. No other is opened.
        try await connections[0].close().get()
        try await eventually { edge.ready == 4 }
        #expect(try await edge.ask() == ["signed", "signed", "signed"])
        #expect(connections.count(where: \.isActive) == 4)
        try await edge.stop()
    }

    @Test("What is not the key holder that it says, and what says nothing more, is no link and is in no other's way")
    func strangers() async throws {
        let edge = try await Edge()
        let other = try edge.fleet.credentials(.keyholder, "other")
        let foreign = try TestFleet().credentials(.keyholder, "home")
        for credentials in [other, foreign] { _ = try await edge.dial(credentials) }
        let unexpected = try await edge.dial(as: "other", other)
        try await eventually { !unexpected.isActive }
        for _ in 0..<3 { _ = try await edge.dial() }
        try await eventually { edge.ready == 3 }
        #expect(try await edge.ask() == ["signed", "signed", "signed"])
        try await edge.stop()
    }

    @Test("A key holder that connects counts as an address: asked when the other one is excluded, or is gone")
    func failOver() async throws {
        let fleet = try TestFleet()
        let group = MultiThreadedEventLoopGroup.singleton
        let listening = try await FakeKeyHolder.start(fleet.credentials(.keyholder, "home"), on: group) {
            $0.opcode == .ping ? FakeKeyHolder.pong : $0.function == "sign" ? FakeKeyHolder.success("by address") : nil
        }
        let edge = try await Edge([listening.address], fleet: fleet)
        for _ in 0..<3 { _ = try await edge.dial() }
        try await eventually { edge.ready == 6 }
        #expect(try await edge.ask(excluding: [0]) == ["signed", "signed", "signed"])
        #expect(try await edge.ask(excluding: [1]) == ["by address", "by address", "by address"])
        try await listening.stop()
        try await edge.stop()
    }
}
