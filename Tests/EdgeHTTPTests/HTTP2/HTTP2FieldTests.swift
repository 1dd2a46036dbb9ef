import NIOConcurrencyHelpers
import NIOCore
import NIOHPACK
import NIOHTTP2
import TestWire
import Testing

@testable import EdgeHTTP

/// What of fields gets lost where an HTTP/2 library knows neither CONTINUATION for its own blocks, nor bytes.
@Suite(.timeLimit(.minutes(2))) struct HTTP2FieldTests {
    private static let large = String(repeating: "\\^~", count: 8_000)

    /// RFC 9113 §4.3, §6.10: heads, 103 and trailers larger than a frame; and whatever comes behind them on the connection is its own.
    @Test(arguments: [false, true]) func headsLargerThanAFrame(tls: Bool) async throws {
        try await ProxyBench.run(tls: tls, http2: true) { wire, _ in
            while true {
                let head = try await wire.readHead()
                if head.hasPrefix("GET /large") {
                    try await wire.send(
                        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Secret: of the large\r\nX-Big: \(Self.large)\r\n\r\nlarge"
                    )
                } else if head.hasPrefix("GET /early") {
                    try await wire.send(
                        "HTTP/1.1 103 Early Hints\r\nLink: \(Self.large)\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"
                    )
                } else if head.hasPrefix("GET /trailers") {
                    try await wire.send(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ntrailers\r\n0\r\nX-Sum: \(Self.large)\r\n\r\n"
                    )
                } else {
                    try await wire.send(
                        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\nX-Secret: of the small\r\nX-Two: 2\r\n\r\nsmall"
                    )
                }
            }
        } test: { bench in
            let client = try await FrameClient.connect(
                bench, settings: [.init(parameter: .maxHeaderListSize, value: 1 << 20)])
            try await client.ping()
            func small() async throws {
                let response = try await client.get("/small")
                #expect(response.text == "small" && response.field("x-secret") == "of the small")
                #expect(response.field("x-one") == "1" && response.field("x-two") == "2")
            }
            for _ in 0..<2 {
                try await small()
                let response = try await client.get("/large")
                #expect(response.text == "large" && response.field("x-big") == Self.large)
                try await small()
                let early = try await client.get("/early")
                #expect(early.text == "early" && early.informational.first?.first(name: "link") == Self.large)
                try await small()
                let trailers = try await client.response(
                    try await client.request("GET", "/trailers", [("te", "trailers")]))
                #expect(trailers.text == "trailers" && trailers.trailers?.first(name: "x-sum") == Self.large)
                try await small()
            }
        }
    }

    /// The client's own bounds: frames of the least size, no table.
    @Test func blocksKeepTheClientsSettings() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            while true {
                _ = try await wire.readHead()
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Big: \(Self.large)\r\n\r\n")
            }
        } test: { bench in
            let wire = try await bench.client()
            try await wire.send(RawFrames.preface)
            try await wire.send(RawFrames.frame(.settings, [0, 1, 0, 0, 0, 0]))
            var decoder = HPACKDecoder(
                allocator: ByteBufferAllocator(), maxDynamicTableSize: 0, maxHeaderListSize: 1 << 20)
            for (stream, starts) in [(1, 0x20), (3, 0x88)] as [(UInt32, UInt8)] {
                try await wire.send(RawFrames.frame(.headers, flags: 5, stream: stream, RawFrames.get()))
                let head = try await wire.readFrame(.headers)
                #expect(head.payload.readableBytes == 16_384 && head.flags & RawFrames.endHeaders == 0)
                #expect(head.payload.readableBytesView.first == starts)
                var block = head.payload
                while true {
                    var next = try await wire.readFrame()
                    #expect(next.kind == .continuation && next.stream == stream)
                    #expect(next.payload.readableBytes <= 16_384)
                    block.writeBuffer(&next.payload)
                    if next.flags & RawFrames.endHeaders != 0 { break }
                }
                #expect(try decoder.decodeHeaders(from: &block).first(name: "x-big") == Self.large)
            }
        }
    }

    /// The first request of a connection, whose fields are within what HTTP/1.1 may have.
    @Test(arguments: [true, false]) func theFirstRequestMayHaveManyFields(acknowledging: Bool) async throws {
        try await ProxyBench.run(http2: true, origin: HTTP2ExchangeTests.echo) { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2(acknowledging: acknowledging)
            let value = String(repeating: "v", count: 3_000)
            let block = RawFrames.get("/", (0..<10).map { ("x-\($0)", value) })
            try await wire.send(RawFrames.frame(.headers, flags: 1, stream: 1, Array(block.prefix(16_000))))
            try await wire.send(RawFrames.frame(.continuation, flags: 4, stream: 1, Array(block.dropFirst(16_000))))
            #expect(try await wire.readFrame(.headers).status == "200")
            var body = ByteBuffer()
            while true {
                var frame = try await wire.readFrame(.data)
                body.writeBuffer(&frame.payload)
                if frame.flags & RawFrames.endStream != 0 { break }
            }
            #expect(String(buffer: body).contains("x-9: " + value))
        }
    }

    /// A GET that ends with an empty DATA frame has no body: not for the origin, and not for the cache.
    @Test(arguments: ["GET", "HEAD"], [true, false]) func anEmptyDataFrameIsNoBody(method: String, atOnce: Bool)
        async throws
    {
        let heads = Heads()
        try await ProxyBench.run(http2: true) { wire, _ in
            while true {
                let head = try await wire.readHead()
                heads.add(head)
                try await wire.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: \(head.hasPrefix("HEAD") ? "7\r\n\r\n" : "2\r\n\r\nok")")
            }
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            for ends in ["data", "trailers"] {
                let id = try await client.request(method, "/", open: true)
                if !atOnce { try await client.ping() }
                if ends == "data" {
                    try await client.data(ByteBuffer(), on: id, ends: true)
                } else {
                    try await client.send(.headers(.init(headers: ["x-sum": "1"], endStream: true)), on: id)
                }
                let response = try await client.response(id)
                #expect(response.status == 200 && response.reset == nil)
            }
            #expect(heads.all.count == 2)
            for head in heads.all {
                #expect(
                    Wire.field("transfer-encoding", in: head) == nil && Wire.field("content-length", in: head) == nil)
            }
        }
    }

    /// RFC 9113 §8.1.1, in both directions; a body without a GET's end is waited for only so long.
    @Test func bodiesHaveTheLengthThatIsSaid() async throws {
        var limits = ProxyLimits()
        limits.http2.endTimeout = .milliseconds(300)
        try await ProxyBench.run(limits: limits, http2: true, origin: HTTP2AbuseTests.silent) { bench in
            let client = try await FrameClient.connect(bench)
            let long = try await client.request("POST", "/", [("content-length", "3")], open: true)
            try await client.data(ByteBuffer(string: "four"), on: long, ends: false)
            #expect(try await client.response(long).reset == .protocolError)
            let short = try await client.request("POST", "/", [("content-length", "3")], open: true)
            try await client.data(ByteBuffer(string: "ab"), on: short, ends: true)
            #expect(try await client.response(short).reset == .protocolError)
            let trailed = try await client.request("POST", "/", [("content-length", "3")], open: true)
            try await client.send(.headers(.init(headers: ["x-sum": "1"], endStream: true)), on: trailed)
            #expect(try await client.response(trailed).reset == .protocolError)
            let late = try await client.request("GET", "/", open: true)
            while client.soFar(late).reset == nil { #expect(await client.more()) }
            #expect(client.soFar(late).status == 408 && client.soFar(late).reset == .noError)
        }
    }

    private final class Heads: Sendable {
        private let heads = NIOLockedValueBox<[String]>([])
        func add(_ head: String) { self.heads.withLockedValue { $0.append(head) } }
        var all: [String] { self.heads.withLockedValue { $0 } }
    }
}
