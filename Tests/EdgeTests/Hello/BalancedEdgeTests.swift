import Admission
import EdgeModel
import Logging
import NIOCore
import NIOPosix
import TLSWire
import TestLogs
import TestSockets
import Testing

@testable import Edge

/// An edge behind a balancer, over sockets: the client's address goes on to the origin.
@Suite struct BalancedEdgeTests {
    private static func run(
        _ configuration: EdgeConfiguration, _ log: LogRecorder, _ body: @escaping @Sendable (UInt16) throws -> Void
    ) async throws {
        let logger = Logger(label: "test") { _ in log.handler }
        let (ports, continuation) = AsyncStream<UInt16>.makeStream()
        let server = EdgeServer(configuration: configuration, logger: logger) { addresses in
            continuation.yield(UInt16(addresses.first?.port ?? 0))
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await server.run() }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            defer { tasks.cancelAll() }
            try await blocking { try body(port) }
        }
    }

    private static func configuration(_ policy: ListenerPolicy, origin: UInt16) throws -> EdgeConfiguration {
        let relay = RelayConfiguration(origin: .fixed(host: "127.0.0.1", port: origin), proxyProtocol: .v1)
        var configuration = EdgeConfiguration(
            listen: [.init(host: "127.0.0.1", port: 0, policy: policy)],
            sites: [Site(domains: [try ServerNamePattern("www.example.test")], mode: .relay(relay))])
        configuration.threads = 2
        return configuration
    }

    @Test(.timeLimit(.minutes(2))) func theOriginLearnsTheClientsAddress() async throws {
        let origin = try TestListener()
        let loopback = try IPNetwork(parsing: "127.0.0.0/8")
        let configuration = try Self.configuration(.proxies([loopback], servesOthers: false), origin: origin.port)
        try await Self.run(configuration, LogRecorder()) { port in
            let client = try TestSocket.connect(port: port)
            let hello = TestHello().records()
            let header = Array("PROXY TCP4 192.0.2.77 192.0.2.1 50000 443\r\n".utf8)
            try client.send(header + hello)
            let arrived = try origin.accept()
            #expect(try arrived.receive(exactly: header.count + hello.count) == header + hello)
            client.close()
            arrived.close()
        }
    }

    @Test(.timeLimit(.minutes(2))) func aClientThatIsNoBalancerIsRefused() async throws {
        let origin = try TestListener()
        let elsewhere = try IPNetwork(parsing: "10.0.0.0/8")
        let configuration = try Self.configuration(.proxies([elsewhere], servesOthers: false), origin: origin.port)
        let log = LogRecorder()
        try await Self.run(configuration, log) { port in
            let client = try TestSocket.connect(port: port)
            #expect((try? client.receive()) ?? [] == [])
            #expect(try log.wait(for: "client hello refused").metadata["reason"] == "not from a trusted proxy")
            client.close()
        }
    }
}
