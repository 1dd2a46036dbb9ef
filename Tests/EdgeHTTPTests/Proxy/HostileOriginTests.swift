import CacheStorage
import EdgeHTTP
import EdgeModel
import NIOCore
import NIOHTTP2
import TestWire
import Testing

/// Origins that send without end what is no body. Each may send much more than it takes to fill every buffer between.
@Suite(.timeLimit(.minutes(2))) struct HostileOriginTests {
    /// 100 MiB in blocks of 64 KiB, where a few MiB fit into the buffers of two sockets.
    private static let blocks = 1_600
    private static let bound = 400

    struct Flood: CustomTestStringConvertible, Sendable {
        var name: String
        var begin = ""
        var again: String
        /// What the client gets; nil: a response that breaks off.
        var status: Int?
        var testDescription: String { self.name }

        var block: ByteBuffer {
            ByteBuffer(string: String(repeating: self.again, count: 65_536 / self.again.utf8.count))
        }
    }

    private static let chunked = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"

    static let floods = [
        Flood(
            name: "1xx", again: "HTTP/1.1 103 Early Hints\r\nLink: </\(String(repeating: "a", count: 4_000))>\r\n\r\n",
            status: 502),
        Flood(name: "small 1xx", again: "HTTP/1.1 102 \r\n\r\n", status: 502),
        Flood(name: "reason phrase", begin: "HTTP/1.1 200 ", again: "aaaaaaaa", status: 502),
        Flood(name: "fields", begin: "HTTP/1.1 200 OK\r\n", again: "X: y\r\n", status: 502),
        Flood(name: "empty lines", again: "\r\n\r\n", status: 502),
        Flood(name: "chunk extension", begin: Self.chunked + "5;", again: "aaaaaaaa"),
        Flood(name: "leading zeros of a chunk's length", begin: Self.chunked, again: "00000000"),
        Flood(
            name: "long extensions", begin: Self.chunked, again: "1;\(String(repeating: "a", count: 1_000))\r\nx\r\n"),
        Flood(name: "trailers", begin: Self.chunked + "0\r\n", again: "X: y\r\n"),
    ]

    /// Sends the flood until the edge takes no more of it.
    private static func pour(_ flood: Flood, into wire: Wire, _ sent: Counter) async throws {
        try await wire.send(flood.begin)
        let block = flood.block
        for _ in 0..<Self.blocks {
            try await wire.send(block)
            _ = sent.next()
        }
    }

    private static func run(
        http2: Bool, cached: Bool, origin: @escaping @Sendable (Wire, Int) async throws -> Void,
        test: (ProxyBench) async throws -> Void
    ) async throws {
        let bench = CacheBench()
        try await ProxyBench.run(
            http2: http2, cache: cached ? SiteCacheConfiguration() : nil, store: cached ? bench.store : nil,
            clock: { bench.time }, origin: origin, test: test)
        #expect(bench.store.statistics.memoryEntries == 0)
    }

    @Test(arguments: Self.floods, [false, true]) func floodsEndTheConnection(flood: Flood, cached: Bool) async throws {
        let sent = Counter()
        try await Self.run(http2: false, cached: cached) { wire, _ in
            _ = try await wire.readHead()
            try await Self.pour(flood, into: wire, sent)
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            var head = try await client.readHead()
            var informational = 0
            while head.hasPrefix("HTTP/1.1 1") {
                informational += 1
                head = try await client.readHead()
            }
            #expect(informational <= 64)
            if let status = flood.status {
                #expect(head.hasPrefix("HTTP/1.1 \(status) "))
            } else if !head.hasPrefix("HTTP/1.1 502 ") {
                // Unless the head and what is wrong with the content came in one read.
                let rest = try? await client.readToEnd()
                #expect(rest?.hasSuffix("0\r\n\r\n") != true)
            }
        }
        #expect(sent.current < Self.bound)
    }

    @Test(arguments: Self.floods, [false, true]) func overHTTP2(flood: Flood, cached: Bool) async throws {
        let sent = Counter()
        try await Self.run(http2: true, cached: cached) { wire, _ in
            _ = try await wire.readHead()
            try await Self.pour(flood, into: wire, sent)
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let response = try await client.get("/")
            #expect(response.informational.count <= 64)
            if let status = flood.status {
                #expect(response.status == status)
            } else {
                #expect(response.reset == .internalError || response.status == 502)
            }
        }
        #expect(sent.current < Self.bound)
    }

    /// What comes on a connection that waits for its next request.
    @Test(arguments: Self.floods) func idleConnectionsTakeNothing(flood: Flood) async throws {
        let sent = Counter()
        let (ended, ends) = AsyncStream.makeStream(of: Bool.self)
        try await Self.run(http2: false, cached: false) { wire, number in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\(number)")
            guard number == 1 else { return }
            do {
                try await Task.sleep(for: .milliseconds(100))
                try await Self.pour(flood, into: wire, sent)
                ends.yield(false)
            } catch {
                ends.yield(true)
            }
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            #expect(try await client.readResponse().text == "1")
            for await wasClosed in ended {
                #expect(wasClosed)
                break
            }
            #expect(sent.current < Self.bound)
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            #expect(try await client.readResponse().text == "2")
        }
    }

    /// 100 and a few others are what honest origins send.
    @Test(arguments: [false, true]) func someInformationalResponsesPass(cached: Bool) async throws {
        try await ProxyBench.run(
            cache: cached ? SiteCacheConfiguration() : nil, store: cached ? CacheBench().store : nil
        ) { wire, _ in
            _ = try await wire.readHead()
            for _ in 0..<20 { try await wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            _ = try? await wire.readHead()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            for _ in 0..<20 { #expect(try await client.readHead().hasPrefix("HTTP/1.1 103 ")) }
            #expect(try await client.readResponse().text == "ok")
        }
    }

    /// Nothing is read behind a request that asks for an upgrade: what follows waits in the client's socket.
    @Test func clientsPourNothingInBeforeTheyAreUpgraded() async throws {
        let (go, starter) = AsyncStream.makeStream(of: Bool.self)
        try await Self.run(http2: false, cached: false) { wire, _ in
            _ = try await wire.readHead()
            for await _ in go { break }
            try await wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            for number in 0..<UInt8(100) {
                #expect(try await wire.read(1_000_000) == ByteBuffer(repeating: number, count: 1_000_000))
            }
            try await wire.send("all")
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x"))
            for number in 0..<UInt8(100) {
                client.channel.writeAndFlush(ByteBuffer(repeating: number, count: 1_000_000), promise: nil)
            }
            try await Task.sleep(for: .seconds(1))
            let pending = try await client.channel.getOption(.bufferedWritableBytes).get()
            #expect(pending > 80_000_000)
            starter.finish()
            #expect(try await client.readHead().hasPrefix("HTTP/1.1 101 "))
            #expect(try await client.readText(3) == "all")
        }
    }
}
