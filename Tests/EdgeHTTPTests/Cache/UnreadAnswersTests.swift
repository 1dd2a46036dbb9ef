import CacheStorage
import EdgeModel
import NIOCore
import NIOHPACK
import NIOPosix
import TestWire
import Testing

@testable import EdgeHTTP

/// Clients that ask for more than they read: answers from the store come at once, and must not pile up.
@Suite(.timeLimit(.minutes(2))) struct UnreadAnswersTests {
    private static let count = 1_000
    private static let field = String(repeating: "y", count: 6_000)

    @Test(arguments: [false, true]) func pipelinedHitsWaitForTheClient(tls: Bool) async throws {
        let bench = CacheBench()
        let children = Children()
        try await ProxyBench.run(
            tls: tls, children: children, cache: SiteCacheConfiguration(), store: bench.store, clock: { bench.time }
        ) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60", "X-Big: \(Self.field)"))
            _ = try? await wire.readHead()
        } test: { proxy in
            #expect(try await proxy.get("/a").status == 200)
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("HEAD /a HTTP/1.1"))
            let answer = try await client.readHead()
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.utf8.count > Self.field.utf8.count)
            let served = try #require(children.all.last)
            try await Self.shrinkBuffer(of: served)
            try await client.channel.setOption(.autoRead, value: false).get()
            let requests = String(repeating: ProxyBench.request("HEAD /a HTTP/1.1"), count: Self.count)
            client.channel.writeAndFlush(ByteBuffer(string: requests), promise: nil)
            // The proxy stops taking requests with its output full: what it holds then is bounded.
            var largest = 0
            var quiet = 0
            var last = -1
            while quiet < 20 {
                let pending = try await served.getOption(.bufferedWritableBytes).get()
                largest = max(largest, pending)
                quiet = pending == last && pending > 0 ? quiet + 1 : 0
                last = pending
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(largest < 300_000)
            // Read at last, all answers come.
            try await client.channel.setOption(.autoRead, value: true).get()
            let size = answer.utf8.count
            let answers = try await client.read(Self.count * size)
            #expect(answers.getString(at: (Self.count - 1) * size, length: size) == answer)
        }
    }

    /// All requests may come in one read, and their answers' heads obey no flow control.
    @Test func manyRequestsInOneReadWaitForTheClient() async throws {
        let bench = CacheBench()
        let children = Children()
        try await ProxyBench.run(
            http2: true, children: children, cache: SiteCacheConfiguration(), store: bench.store,
            clock: { bench.time }
        ) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60", "X-Big: \(Self.field)"))
            _ = try? await wire.readHead()
        } test: { proxy in
            let polite = try await FrameClient.connect(proxy)
            #expect(try await polite.get("/a").status == 200)
            let client = try await Self.rawClient(proxy)
            // The server may not have taken the connection yet.
            while children.all.count < 2 { try await Task.sleep(for: .milliseconds(10)) }
            let served = try #require(children.all.last)
            try await Self.shrinkBuffer(of: served)
            try await client.setOption(.autoRead, value: false).get()
            client.writeAndFlush(try Self.heads(100), promise: nil)
            var largest = 0
            var quiet = 0
            var last = -1
            while quiet < 20 {
                let pending = try await served.getOption(.bufferedWritableBytes).get()
                largest = max(largest, pending)
                quiet = pending == last && pending > 0 ? quiet + 1 : 0
                last = pending
                try await Task.sleep(for: .milliseconds(10))
            }
            // Without a bound it would be 600 kB.
            #expect(largest < 400_000)
            try await client.close()
            #expect(try await polite.get("/a").status == 200)
        }
    }

    /// Stored bodies consist of parts that are larger than what a stream of a busy connection may have waiting.
    @Test func aStoredBodyGivesNoMoreThanThereIsRoomFor() {
        let chunk = ByteBuffer(repeating: 1, count: 65_536)
        let body = CachedBody([chunk, chunk], of: StoredBody(chunks: [chunk, chunk]))
        var (sent, most) = (0, 8192)
        func pump() -> CachedBody.Progress {
            body.pump(room: { max(0, most - sent) }, send: { sent += $0.readableBytes }, flush: {})
        }
        guard case .blocked = pump() else {
            Issue.record("it went on without room")
            return
        }
        #expect(sent == 8192)
        most = 1_048_576
        guard case .end = pump() else {
            Issue.record("it did not go on")
            return
        }
        #expect(sent == 131_072)
    }

    /// The kernel may grow a socket's buffers to several megabytes, and then nothing waits in the process.
    private static func shrinkBuffer(of channel: any Channel) async throws {
        try await channel.setOption(.socketOption(.so_sndbuf), value: 32_768).get()
    }

    /// A client without a library that would keep it from asking for too much.
    static func rawClient(_ proxy: ProxyBench) async throws -> any Channel {
        let address = try #require(proxy.proxy.localAddress)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.socketOption(.so_rcvbuf), value: 32_768).connect(to: address).get()
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        try await channel.writeAndFlush(ByteBuffer(bytes: Array(preface.utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0])).get()
        return channel
    }

    /// So many HEADERS frames, each a HEAD request on a stream of its own.
    static func heads(_ count: Int) throws -> ByteBuffer {
        var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
        var frames = ByteBuffer()
        for number in 0..<count {
            var block = ByteBuffer()
            try encoder.encode(
                headers: [
                    ":method": "HEAD", ":scheme": "https", ":authority": ProxyBench.host, ":path": "/a",
                ], to: &block)
            frames.writeInteger(UInt32(block.readableBytes) << 8 | 1)
            frames.writeInteger(UInt8(0x5))
            frames.writeInteger(UInt32(2 * number + 1))
            frames.writeBuffer(&block)
        }
        return frames
    }
}
