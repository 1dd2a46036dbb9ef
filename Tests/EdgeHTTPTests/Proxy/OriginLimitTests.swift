import Admission
import EdgeModel
import NIOCore
import NIOPosix
import Synchronization
import TestWire
import Testing

@testable import EdgeHTTP

/// More requests at once than the origin may have connections. One event loop, since the limit is for each.
@Suite(.timeLimit(.minutes(2))) struct OriginLimitTests {
    /// Answers once `go` says so, and then every request at once; says the connection's number.
    private static func run(
        closing: Bool = false, network: @escaping @Sendable () -> ClientNetwork? = { nil },
        adjust: @escaping (inout OriginConfiguration) -> Void,
        test: (ProxyBench, _ arrived: AsyncStream<Int>, _ go: AsyncStream<Bool>.Continuation) async throws -> Void
    ) async throws {
        let (arrived, arrivals) = AsyncStream.makeStream(of: Int.self)
        let (go, starter) = AsyncStream.makeStream(of: Bool.self)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            try await ProxyBench.run(
                adjust: {
                    $0.maximumConnections = 1
                    adjust(&$0)
                }, network: network, group: group
            ) { wire, number in
                repeat {
                    let head = try await wire.readHead()
                    arrivals.yield(number)
                    if number == 1 || head.hasPrefix("GET /hang ") { for await _ in go { break } }
                    try await wire.send(
                        "HTTP/1.1 200 OK\r\n\(closing ? "Connection: close\r\n" : "")Content-Length: 1\r\n\r\n\(number)"
                    )
                } while !closing
            } test: { bench in
                try await test(bench, arrived, starter)
            }
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    /// A request that certainly waits: one in front of it, which the edge answers itself, has its answer.
    private static func waitingClient(_ bench: ProxyBench) async throws -> Wire {
        let client = try await bench.client()
        try await client.send("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n" + ProxyBench.request("GET / HTTP/1.1"))
        #expect(try await client.readResponse().status == 421)
        return client
    }

    @Test func requestsBeyondTheQueueGet503() async throws {
        try await Self.run {
            $0.maximumWaitingRequests = 0
        } test: { bench, arrived, go in
            let first = try await bench.client()
            try await first.send(ProxyBench.request("GET / HTTP/1.1"))
            for await _ in arrived { break }
            let second = try await bench.client()
            try await second.send(ProxyBench.request("GET / HTTP/1.1"))
            let refusal = try await second.readResponse()
            #expect(refusal.status == 503)
            #expect(refusal.field("retry-after") == "5")
            #expect(refusal.field("connection") == nil)
            go.finish()
            #expect(try await first.readResponse().text == "1")
            try await second.send(ProxyBench.request("GET / HTTP/1.1"))
            #expect(try await second.readResponse().status == 200)
            #expect(bench.connections.current == 1)
        }
    }

    @Test(arguments: [false, true]) func requestsWaitForAConnection(closing: Bool) async throws {
        try await Self.run(closing: closing) { _ in
        } test: { bench, arrived, go in
            let first = try await bench.client()
            try await first.send(ProxyBench.request("GET / HTTP/1.1"))
            for await _ in arrived { break }
            let second = try await Self.waitingClient(bench)
            #expect(bench.connections.current == 1)
            go.finish()
            #expect(try await first.readResponse().text == "1")
            #expect(try await second.readResponse().text == (closing ? "2" : "1"))
        }
    }

    @Test func waitingEndsInTime() async throws {
        try await Self.run {
            $0.connectTimeout = .seconds(1)
        } test: { bench, arrived, go in
            let first = try await bench.client()
            try await first.send(ProxyBench.request("GET / HTTP/1.1"))
            for await _ in arrived { break }
            let second = try await Self.waitingClient(bench)
            #expect(try await second.readResponse().status == 503)
            go.finish()
            #expect(try await first.readResponse().status == 200)
        }
    }

    /// All connections come from 127.0.0.1, so both clients are told apart by what the bench says.
    @Test func oneClientsRequestsLeaveConnectionsToOthers() async throws {
        let networks = Mutex<[ClientNetwork]>([])
        try await Self.run(network: { networks.withLock { $0.isEmpty ? nil : $0.removeFirst() } }) {
            $0.maximumConnections = 4
            $0.clientShare = 25
            $0.connectTimeout = .seconds(1)
        } test: { bench, arrived, go in
            let (greedy, other) = (ClientNetwork(.v4(1)), ClientNetwork(.v4(2)))
            var hanging: [Wire] = []
            // Half of the connections; then its share is used up.
            for _ in 0..<3 {
                networks.withLock { $0 = [greedy] }
                let client = try await bench.client()
                try await client.send(ProxyBench.request("GET /hang HTTP/1.1"))
                hanging.append(client)
                if hanging.count < 3 { for await _ in arrived { break } }
            }
            #expect(try await hanging[2].readResponse().status == 503)
            #expect(bench.connections.current == 2)
            networks.withLock { $0 = [other] }
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            #expect(try await client.readResponse().status == 200)
            go.finish()
        }
    }
}
