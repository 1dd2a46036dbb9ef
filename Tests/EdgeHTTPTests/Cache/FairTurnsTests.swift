import EdgeHTTP
import EdgeModel
import NIOCore
import NIOPosix
import Synchronization
import TestWire
import Testing

/// One read may bring hundreds of requests that are answered from the store at once.
@Suite(.timeLimit(.minutes(2))) struct FairTurnsTests {
    /// Counts look-ups between two tasks of their event loop.
    private final class Turns: Sendable {
        struct State {
            var now = 0
            var most = 0
            var all = 0
        }

        let state = Mutex(State())

        func count(on loop: any EventLoop) {
            let isFirst = self.state.withLock { state in
                state.now += 1
                state.all += 1
                state.most = max(state.most, state.now)
                return state.now == 1
            }
            if isFirst { loop.execute { self.state.withLock { $0.now = 0 } } }
        }
    }

    @Test(arguments: [false, true]) func requestsOfOneConnectionComeInTurns(http2: Bool) async throws {
        let count = 100
        let bench = CacheBench()
        let turns = Turns()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        try await ProxyBench.run(
            http2: http2, cache: SiteCacheConfiguration(), store: bench.store,
            clock: {
                turns.count(on: loop)
                return bench.time
            }, group: group
        ) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60"))
            _ = try? await wire.readHead()
        } test: { proxy in
            if http2 {
                let polite = try await FrameClient.connect(proxy)
                #expect(try await polite.get("/a").status == 200)
                let client = try await UnreadAnswersTests.rawClient(proxy)
                try await client.writeAndFlush(try UnreadAnswersTests.heads(count)).get()
                while turns.state.withLock({ $0.all }) < count { try await Task.sleep(for: .milliseconds(10)) }
                try await client.close()
            } else {
                #expect(try await proxy.get("/a").status == 200)
                let client = try await proxy.client()
                let requests = String(repeating: ProxyBench.request("HEAD /a HTTP/1.1"), count: count)
                try await client.send(requests)
                for _ in 0..<count { #expect(try await client.readHead().hasPrefix("HTTP/1.1 200 OK\r\n")) }
            }
        }
        let most = turns.state.withLock { $0.most }
        #expect(most <= 16)
        try await group.shutdownGracefully()
    }
}
