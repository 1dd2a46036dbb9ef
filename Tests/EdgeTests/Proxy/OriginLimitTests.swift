import NIOCore
import NIOPosix
import Testing

@testable import Edge

@Suite struct ConnectionLimitTests {
    private final class Waiter {}

    @Test func countsConnectionsAndServesTheFirstWaiterFirst() {
        var limit = ConnectionLimit<Waiter>(connections: 2, waiting: 2)
        let (a, b, c) = (Waiter(), Waiter(), Waiter())
        func enter(_ waiter: Waiter) -> ConnectionLimit<Waiter>.Entry { limit.enter(waiter) }
        #expect(enter(a) == .connect)
        #expect(enter(a) == .connect)
        #expect(enter(a) == .wait)
        #expect(enter(b) == .wait)
        #expect(enter(c) == .overloaded)
        limit.remove(a)
        #expect(enter(c) == .wait)
        let first = limit.connectionIsGone()
        #expect(first === b)
        let second = limit.takeWaiter()
        #expect(second === c)
        let nobody = limit.connectionIsGone()
        #expect(nobody == nil)
        #expect(enter(a) == .connect)
        #expect(enter(a) == .wait)
    }
}

/// More requests at once than the origin may have connections. One event loop, since the limit is for each.
@Suite(.timeLimit(.minutes(2))) struct OriginLimitTests {
    /// Answers once `go` says so, and then every request at once; says the connection's number.
    private static func run(
        closing: Bool = false, adjust: @escaping (inout OriginConfiguration) -> Void,
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
                }, group: group
            ) { wire, number in
                repeat {
                    _ = try await wire.readHead()
                    arrivals.yield(number)
                    if number == 1 { for await _ in go { break } }
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
}
