import EdgeHTTP
import EdgeModel
import NIOCore
import NIOHPACK
import NIOHTTP2
import TestWire
import Testing

/// Requests and responses over HTTP/2 that are as they should be.
@Suite(.timeLimit(.minutes(2))) struct HTTP2ExchangeTests {
    /// Answers every request with its own head and body, as the origin got them.
    static let echo: @Sendable (Wire, Int) async throws -> Void = { wire, _ in
        while true {
            let head = try await wire.readHead()
            let body = try await wire.readBody(of: head)
            let text = head + String(buffer: body)
            try await wire.send(
                "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\nX-Mixed-Case: Yes\r\n\r\n" + text)
        }
    }

    @Test func servesManyRequestsOnOneConnection() async throws {
        try await ProxyBench.run(http2: true, origin: Self.echo) { bench in
            let client = try await FrameClient.connect(bench)
            for number in 1...3 {
                let response = try await client.get(
                    "/\(number)?q={x}", [("accept", "*/*"), ("cookie", "a"), ("cookie", "b")])
                #expect(response.status == 200 && response.reset == nil)
                #expect(response.field("x-mixed-case") == "Yes")
                #expect(response.field("via") == "1.1 bench")
                #expect(response.field("connection") == nil && response.field("transfer-encoding") == nil)
                #expect(response.text.hasPrefix("GET /\(number)?q={x} HTTP/1.1\r\n"))
                #expect(Wire.field("via", in: response.text) == "2.0 bench")
                #expect(Wire.field("host", in: response.text) == ProxyBench.host)
                #expect(Wire.field("cookie", in: response.text) == "a; b")
            }
            #expect(bench.connections.current == 1)
        }
    }

    @Test func servesThemOverTLS() async throws {
        try await ProxyBench.run(tls: true, http2: true, origin: Self.echo) { bench in
            let client = try await FrameClient.connect(bench)
            #expect(try await client.get("/").status == 200)
        }
    }

    @Test func bodylessResponses() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            while true {
                let head = try await wire.readHead()
                if head.hasPrefix("HEAD") {
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
                } else if head.contains("/304") {
                    try await wire.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n")
                } else if head.contains("/204") {
                    try await wire.send("HTTP/1.1 204 No Content\r\n\r\n")
                } else if head.contains("/0") {
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                } else if head.contains("/chunked") {
                    try await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                } else {
                    try await wire.send("HTTP/1.1 200 OK\r\n\r\nto the end")
                    return
                }
            }
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let head = try await client.response(try await client.request("HEAD", "/x"))
            #expect(head.status == 200 && head.field("content-length") == "5000" && head.body.readableBytes == 0)
            let notModified = try await client.get("/304")
            #expect(notModified.status == 304 && notModified.field("etag") == "\"x\"")
            #expect(try await client.get("/204").status == 204)
            let empty = try await client.get("/0")
            #expect(empty.status == 200 && empty.field("content-length") == "0" && empty.reset == nil)
            let chunked = try await client.get("/chunked")
            #expect(chunked.text == "ok" && chunked.field("content-length") == nil)
            #expect(try await client.get("/close").text == "to the end")
        }
    }

    @Test func trailersAndInformationalResponsesPass() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            let head = try await wire.readHead()
            #expect(Wire.field("te", in: head) == "trailers")
            try await wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            var sum = ""
            let body = try await wire.readChunked(trailers: &sum)
            #expect(sum.lowercased().contains("x-sum: 7"))
            try await wire.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Count\r\n\r\n"
                    + "2\r\nok\r\n0\r\nX-Count: \(body.readableBytes)\r\nCookie: 9\r\n\r\n")
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/", [("te", "trailers"), ("trailer", "x-sum")], open: true)
            try await client.data(ByteBuffer(string: "12345"), on: id, ends: false)
            try await client.send(.headers(.init(headers: HPACKHeaders([("x-sum", "7")]), endStream: true)), on: id)
            let response = try await client.response(id)
            #expect(response.informational.first?.first(name: ":status") == "103")
            #expect(response.text == "ok" && response.field("trailer") == "X-Count")
            #expect(response.trailers?.first(name: "x-count") == "5")
            #expect(response.trailers?.count == 1)
        }
    }

    @Test func waitsForContinue() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            let head = try await wire.readHead()
            #expect(Wire.field("expect", in: head) == "100-continue")
            try await wire.send("HTTP/1.1 100 Continue\r\n\r\n")
            _ = try await wire.read(2)
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request(
                "PUT", "/", [("expect", "100-continue"), ("content-length", "2")], open: true)
            while client.soFar(id).informational.isEmpty { #expect(await client.more()) }
            try await client.data(ByteBuffer(string: "ab"), on: id, ends: true)
            #expect(try await client.response(id).status == 200)
        }
    }

    /// 0 bytes, 1 byte, and more than the windows, with and without a length.
    @Test(arguments: [0, 1, 16_385, 1 << 20], [true, false])
    func bodiesBothWays(size: Int, hasLength: Bool) async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            let head = try await wire.readHead()
            #expect((Wire.field("content-length", in: head) == "\(size)") == hasLength)
            let body = try await wire.readBody(of: head)
            try await wire.send(
                hasLength
                    ? "HTTP/1.1 200 OK\r\nContent-Length: \(body.readableBytes)\r\n\r\n"
                    : "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            try await wire.send(body)
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let bytes = ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
            let id = try await client.request(
                "POST", "/", hasLength ? [("content-length", "\(size)")] : [], open: true)
            client.channel.writeAndFlush(
                HTTP2Frame(streamID: id, payload: .data(.init(data: .byteBuffer(bytes), endStream: true))),
                promise: nil)
            let response = try await client.response(id)
            #expect(response.status == 200 && response.reset == nil)
            #expect(response.body == bytes)
            #expect(response.field("content-length") == (hasLength ? "\(size)" : nil))
        }
    }

    @Test func oneHundredRequestsAtOnce() async throws {
        let arrived = Counter()
        // More than the default, for machines that are slow to connect so often.
        let patience: @Sendable (inout OriginConfiguration) -> Void = {
            $0.connectTimeout = .seconds(60)
            $0.responseTimeout = .seconds(60)
        }
        try await ProxyBench.run(http2: true, adjust: patience) { wire, _ in
            let head = try await wire.readHead()
            _ = arrived.next()
            // None is answered before all are there.
            while arrived.current < 100 { try await Task.sleep(for: .milliseconds(50)) }
            let path = head.split(separator: " ")[1]
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(path.utf8.count)\r\n\r\n\(path)")
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            var ids: [HTTP2StreamID] = []
            for number in 0..<100 { ids.append(try await client.request("GET", "/\(number)")) }
            for (number, id) in ids.enumerated() {
                let response = try await client.response(id)
                #expect(response.status == 200 && response.text == "/\(number)")
            }
        }
    }

    private static let parity: [[(String, String)]] = [
        [("accept", "*/*"), ("user-agent", "x/1")], [("cookie", "a=b; c=d"), ("accept-encoding", "gzip, br")],
        [("x-forwarded-for", "1.2.3.4"), ("via", "1.1 other"), ("range", "bytes=0-1")],
        [("if-none-match", "\"x\""), ("authorization", "Basic eDp5")],
    ]

    /// What the origin gets, and what the client gets, is the same over both versions.
    @Test(arguments: parity) func isTheSameOverBothVersions(fields: [(String, String)]) async throws {
        let answer =
            "HTTP/1.1 203 Fine\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            + "X-Hop: 1\r\nConnection: X-Hop\r\nCache-Control: max-age=5\r\nTransfer-Encoding: chunked\r\n\r\n"
        let origin: @Sendable (Wire, Int) async throws -> Void = { wire, _ in
            let head = try await wire.readHead()
            try await wire.send(
                answer + String(head.utf8.count, radix: 16) + "\r\n" + head + "\r\n0\r\n\r\n")
        }
        var heads: [[String]] = []
        var answers: [[String]] = []
        try await ProxyBench.run(origin: origin) { bench in
            let client = try await bench.client()
            try await client.send(
                "POST /a?b HTTP/1.1\r\nHost: \(ProxyBench.host)\r\nContent-Length: 0\r\n"
                    + fields.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n")
            let response = try await client.readResponse()
            heads.append(Self.normalised(response.text))
            answers.append(Self.normalised(response.head).filter { $0 != "transfer-encoding: chunked" })
        }
        try await ProxyBench.run(http2: true, origin: origin) { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/a?b", [("content-length", "0")] + fields)
            let response = try await client.response(id)
            heads.append(Self.normalised(response.text.replacing("Via: 2.0", with: "Via: 1.1")))
            let lines = try #require(response.head).dropFirst().map { "\($0.name): \($0.value)" }
            answers.append(["http/1.1 203 non-authoritative information"] + lines.map { $0.lowercased() })
        }
        #expect(heads[0].first == "post /a?b http/1.1")
        #expect(heads[0].sorted() == heads[1].sorted())
        #expect(answers[0].dropFirst().sorted() == answers[1].dropFirst().sorted())
    }

    private static func normalised(_ head: String) -> [String] {
        head.split(separator: "\r\n").map { $0.lowercased() }
    }
}

extension Wire {
    /// By Content-Length or chunked; empty otherwise.
    func readBody(of head: String) async throws -> ByteBuffer {
        if let length = Wire.field("content-length", in: head).flatMap({ Int($0) }) {
            return try await self.read(length)
        }
        guard Wire.field("transfer-encoding", in: head) == "chunked" else { return ByteBuffer() }
        var trailers = ""
        return try await self.readChunked(trailers: &trailers)
    }

    func readChunked(trailers: inout String) async throws -> ByteBuffer {
        var body = ByteBuffer()
        while true {
            guard let size = Int(try await self.readLine(), radix: 16) else { throw WireEnded(read: "no chunk") }
            if size == 0 { break }
            var chunk = try await self.read(size)
            body.writeBuffer(&chunk)
            _ = try await self.readLine()
        }
        while case let line = try await self.readLine(), !line.isEmpty { trailers += line + "\n" }
        return body
    }
}
