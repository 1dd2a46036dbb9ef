import EdgeHTTP
import NIOCore
import NIOHPACK
import NIOHTTP2
import TestWire
import Testing

/// Requests that are refused, streams that break off, sides that don't read.
@Suite(.timeLimit(.minutes(2))) struct HTTP2FailureTests {
    static let hello: @Sendable (Wire, Int) async throws -> Void = { wire, _ in
        while true {
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        }
    }

    @Test func refusedRequestsLeaveTheConnectionAlone() async throws {
        try await ProxyBench.run(http2: true, origin: Self.hello) { bench in
            let client = try await FrameClient.connect(bench)
            func status(_ block: [(String, String)]) async throws -> Int {
                try await client.response(try await client.request(HPACKHeaders(block))).status
            }
            let get = [(":method", "GET"), (":scheme", "https"), (":path", "/")]
            #expect(try await status(get + [(":authority", "other.test")]) == 421)
            #expect(try await status(get) == 400)
            #expect(try await status(get + [(":authority", ProxyBench.host), ("host", "www.other.test")]) == 400)
            #expect(try await status([(":method", "CONNECT"), (":authority", "\(ProxyBench.host):443")]) == 501)
            #expect(
                try await status([
                    (":method", "OPTIONS"), (":scheme", "https"), (":path", "*"), (":authority", ProxyBench.host),
                    ("max-forwards", "0"),
                ]) == 200)
            #expect(
                try await status(get + [(":authority", ProxyBench.host)] + (0..<130).map { ("x-\($0)", "1") }) == 431)
            #expect(bench.connections.current == 0)
            #expect(try await client.get("/").text == "hello")
            #expect(client.goAways.isEmpty)
        }
    }

    private static let malformed: [[(String, String)]] = [
        [(":method", "GET"), (":scheme", "https"), (":authority", ProxyBench.host)],
        [
            (":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ("connection", "x"),
        ],
        [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host), ("Upper", "x")],
        [
            (":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ("a", "b\r\nc: d"),
        ],
        [
            (":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ("transfer-encoding", "chunked"),
        ],
        [
            (":method", "CONNECT"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            (":protocol", "websocket"),
        ],
        [
            (":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ("content-length", "3"),
        ],
    ]

    @Test(arguments: malformed) func malformedRequestsAreReset(block: [(String, String)]) async throws {
        try await ProxyBench.run(http2: true, origin: Self.hello) { bench in
            let client = try await FrameClient.connect(bench)
            let response = try await client.response(try await client.request(HPACKHeaders(block)))
            #expect(response.reset == .protocolError && response.head == nil)
            #expect(bench.connections.current == 0)
            #expect(try await client.get("/").text == "hello")
        }
    }

    @Test(arguments: ["abc", "abcdefg"]) func bodiesThatDisagreeWithTheirLengthAreReset(body: String) async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            while true {
                let head = try await wire.readHead()
                guard head.hasPrefix("POST") else {
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                }
                _ = try await wire.read(5)
                Issue.record("the origin got a whole request")
            }
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/", [("content-length", "5")], open: true)
            try await client.data(ByteBuffer(string: body), on: id, ends: true)
            #expect(try await client.response(id).reset == .protocolError)
            #expect(try await client.get("/").status == 200)
        }
    }

    @Test func aClientThatCancelsCancelsAtTheOrigin() async throws {
        let ended = Counter()
        try await ProxyBench.run(http2: true) { wire, _ in
            let head = try await wire.readHead()
            if head.contains("/other") {
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
                _ = try await wire.readHead()
            }
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            _ = try? await wire.readHead()
            _ = ended.next()
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("GET", "/")
            while client.soFar(id).text != "half" { #expect(await client.more()) }
            try await client.send(.rstStream(.cancel), on: id)
            while ended.current == 0 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(try await client.get("/other").text == "other")
        }
    }

    @Test(arguments: ["Content-Length: 100", "Transfer-Encoding: chunked"])
    func aResponseThatBreaksOffIsReset(framing: String) async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            let head = try await wire.readHead()
            if head.contains("/whole") {
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
            } else {
                try await wire.send("HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n4\r\nhalf")
            }
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let broken = try await client.request("GET", "/broken")
            let whole = try await client.request("GET", "/whole")
            let response = try await client.response(broken)
            #expect(response.status == 200 && response.reset == .internalError)
            #expect(try await client.response(whole).text == "whole")
        }
    }

    @Test func anOriginThatDoesNotAnswerIs502() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            _ = try await wire.readHead()
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let response = try await client.get("/")
            #expect(response.status == 502 && response.field("cache-control") == "no-store")
        }
    }

    /// RFC 9113 §8.1: a whole response, then RST_STREAM with NO_ERROR for the rest of the request.
    @Test func anEarlyResponseIsWhole() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            _ = try await wire.readHead()
            let body = String(repeating: "n", count: 200_000)
            try await wire.send("HTTP/1.1 413 No\r\nContent-Length: 200000\r\n\r\n" + body)
            // A close with bytes unread is a reset, and a reset takes what the edge has not read yet.
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/", open: true)
            try await client.data(ByteBuffer(string: "begin"), on: id, ends: false)
            while client.soFar(id).reset == nil { #expect(await client.more()) }
            let response = client.soFar(id)
            #expect(response.status == 413 && response.body.readableBytes == 200_000 && response.reset == .noError)
        }
    }

    @Test func anOriginThatDoesNotReadStopsTheClient() async throws {
        let (proceed, go) = AsyncStream.makeStream(of: Void.self)
        let size = 64 << 20
        try await ProxyBench.run(http2: true) { wire, _ in
            try await wire.channel.setOption(.autoRead, value: false).get()
            var iterator = proceed.makeAsyncIterator()
            await iterator.next()
            try await wire.channel.setOption(.autoRead, value: true).get()
            let head = try await wire.readHead()
            _ = try await wire.readBody(of: head)
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/", [("content-length", "\(size)")], open: true)
            let bytes = ByteBuffer(repeating: 7, count: size)
            client.channel.writeAndFlush(
                HTTP2Frame(streamID: id, payload: .data(.init(data: .byteBuffer(bytes), endStream: true))), promise: nil
            )
            // Answered after everything that arrived before; when nothing is granted any more, the client is stopped.
            var granted = -1
            while granted != client.granted[id, default: 0] {
                granted = client.granted[id, default: 0]
                for _ in 0..<20 { try await client.ping() }
            }
            #expect(granted < size / 2)
            // Other requests are served meanwhile: no window is in their way.
            go.finish()
            #expect(try await client.response(id).status == 200)
        }
    }

    @Test func aClientThatDoesNotReadPausesTheOrigin() async throws {
        let size = 32 << 20
        let written = Counter()
        try await ProxyBench.run(http2: true) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            let chunk = ByteBuffer(repeating: 7, count: 1 << 16)
            for _ in 0..<(size >> 16) {
                try await wire.send(chunk)
                _ = written.next()
            }
            _ = try? await wire.readHead()
        } test: { bench in
            let client = try await FrameClient.connect(bench, grants: false)
            let id = try await client.request("GET", "/")
            while client.soFar(id).body.readableBytes < 65_535 { #expect(await client.more()) }
            var before = -1
            while before != written.current {
                before = written.current
                for _ in 0..<20 { try await client.ping() }
            }
            #expect(written.current < size >> 17)
            #expect(client.soFar(id).body.readableBytes == 65_535)
            try await client.send(.windowUpdate(windowSizeIncrement: 1 << 30))
            try await client.send(.windowUpdate(windowSizeIncrement: 1 << 30), on: id)
            #expect(try await client.response(id).body.readableBytes == size)
        }
    }
}
