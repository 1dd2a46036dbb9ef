import EdgeModel
import NIOCore
import NIOHTTP2
import TestWire
import Testing

@testable import EdgeHTTP

/// Clients that make much work with little of their own.
@Suite(.timeLimit(.minutes(2))) struct HTTP2FloodTests {
    private static func get(_ stream: UInt32) -> ByteBuffer {
        RawFrames.frame(
            .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: stream, RawFrames.get())
    }

    private static func reset(_ stream: UInt32) -> ByteBuffer { RawFrames.frame(.reset, stream: stream, [0, 0, 0, 8]) }

    // MARK: Requests that are taken back

    /// What is taken back in the same read never gets to the origin.
    @Test(arguments: [false, true]) func requestsTakenBackAtOnceCostTheOriginNothing(cached: Bool) async throws {
        try await ProxyBench.run(
            http2: true, cache: cached ? SiteCacheConfiguration() : nil, store: cached ? CacheBench().store : nil,
            origin: HTTP2FailureTests.hello
        ) { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            var frames = ByteBuffer()
            for number in 0..<UInt32(300) {
                frames.writeImmutableBuffer(Self.get(2 * number + 1))
                frames.writeImmutableBuffer(Self.reset(2 * number + 1))
            }
            frames.writeImmutableBuffer(Self.get(601))
            try await wire.send(frames)
            let answer = try await wire.readFrame(.headers)
            #expect(answer.stream == 601)
            #expect(bench.connections.current == 1)
        }
    }

    /// One after another, each when the one before has got to the origin: they keep their places for a while.
    @Test func requestsTakenBackLaterKeepTheirPlaces() async throws {
        var limits = ProxyLimits()
        limits.http2.concurrentStreams = 8
        let (arrived, arrivals) = AsyncStream.makeStream(of: Int.self)
        try await ProxyBench.run(limits: limits, http2: true) { wire, number in
            _ = try await wire.readHead()
            arrivals.yield(number)
            if number > 8 { try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") }
            _ = try await wire.readToEnd()
        } test: { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            var iterator = arrived.makeAsyncIterator()
            for number in 0..<UInt32(8) {
                try await wire.send(Self.get(2 * number + 1))
                _ = await iterator.next()
                try await wire.send(Self.reset(2 * number + 1))
            }
            try await wire.send(Self.get(17))
            let refusal = try await wire.readFrame(.reset)
            #expect(refusal.stream == 17 && refusal.errorCode == 0x7)
            try await Task.sleep(for: .milliseconds(1_500))
            try await wire.send(Self.get(19))
            let answer = try await wire.readFrame(.headers)
            #expect(answer.stream == 19)
        }
    }

    /// Also while a connection is set up for them: this origin takes it, and never begins with TLS.
    @Test func requestsTakenBackWhileTheOriginIsDialledKeepTheirPlaces() async throws {
        var limits = ProxyLimits()
        limits.http2.concurrentStreams = 4
        limits.http2.resetCooling = .milliseconds(1)
        try await ProxyBench.run(limits: limits, http2: true) {
            $0.scheme = .https
            $0.connectTimeout = .seconds(2)
        } origin: { wire, _ in
            _ = try await wire.readToEnd()
        } test: { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            for number in 0..<UInt32(4) {
                try await wire.send(Self.get(2 * number + 1))
                try await wire.send(RawFrames.frame(.ping, [UInt8](repeating: 1, count: 8)))
                _ = try await wire.readFrame(.ping)
                try await wire.send(Self.reset(2 * number + 1))
            }
            try await Task.sleep(for: .milliseconds(100))
            try await wire.send(Self.get(9))
            let refusal = try await wire.readFrame(.reset)
            #expect(refusal.stream == 9 && refusal.errorCode == 0x7)
            try await Task.sleep(for: .seconds(3))
            try await wire.send(Self.get(11))
            let answer = try await wire.readFrame(.headers)
            #expect(answer.stream == 11)
        }
    }

    // MARK: Frames that bring nothing

    private static func malformed(_ stream: UInt32) -> ByteBuffer {
        RawFrames.frame(
            .headers, flags: RawFrames.endHeaders, stream: stream, RawFrames.get("/", [("connection", "x")]))
    }

    private static func unknown() -> ByteBuffer { ByteBuffer(bytes: [0, 0, 0, 0xF7, 0, 0, 0, 0, 0]) }

    struct Flood: CustomTestStringConvertible, Sendable {
        var name: String
        var before: [ByteBuffer] = []
        var frame: ByteBuffer
        var testDescription: String { self.name }
    }

    static let floods = [
        Flood(name: "unknown type", frame: Self.unknown()),
        Flood(name: "GOAWAY", frame: RawFrames.frame(.goAway, [UInt8](repeating: 0, count: 8))),
        Flood(
            name: "WINDOW_UPDATE on a stream that was reset", before: [Self.get(1), Self.reset(1)],
            frame: RawFrames.frame(.windowUpdate, stream: 1, [0, 0, 0, 1])),
        Flood(
            name: "DATA on a stream that we reset", before: [Self.malformed(1)],
            frame: RawFrames.frame(.data, stream: 1, [1])),
        Flood(
            name: "PRIORITY_UPDATE", frame: ByteBuffer(bytes: [0, 0, 4, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
        Flood(name: "PING", frame: RawFrames.frame(.ping, flags: 1, [UInt8](repeating: 0, count: 8))),
    ]

    @Test(arguments: Self.floods) func framesThatBringNothing(flood: Flood) async throws {
        var limits = ProxyLimits()
        limits.firstRequestTimeout = .seconds(2)
        limits.idleTimeout = .seconds(2)
        // The library does not count those.
        limits.http2.controlFrames = 100_000
        let frames = flood.before + Array(repeating: flood.frame, count: 3_000)
        #expect(try await HTTP2AbuseTests.ends(limits, after: frames) == HTTP2AbuseTests.calm)
    }

    /// A connection that works may bring many of them: each request pays for its own.
    @Test func framesBesideRequestsAreNoOffence() async throws {
        try await ProxyBench.run(http2: true, origin: HTTP2FailureTests.hello) { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            for number in 0..<UInt32(400) {
                var frames = Self.get(2 * number + 1)
                for _ in 0..<6 { frames.writeImmutableBuffer(Self.unknown()) }
                try await wire.send(frames)
                let answer = try await wire.readFrame(.headers)
                #expect(answer.stream == 2 * number + 1)
            }
        }
    }

    /// Windows bound bytes: what waits for an origin in small frames holds memory for its bytes, not for its frames.
    @Test func smallFramesThatWaitGoTogether() async throws {
        let children = Children()
        // The origin never begins with TLS.
        try await ProxyBench.run(http2: true, adjust: { $0.scheme = .https }, children: children) { wire, _ in
            _ = try await wire.readToEnd()
        } test: { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            let post = RawFrames.block([
                (":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ])
            var frames = RawFrames.frame(.headers, flags: RawFrames.endHeaders, stream: 1, post)
            for _ in 0..<10_000 { frames.writeImmutableBuffer(RawFrames.frame(.data, stream: 1, [7])) }
            frames.writeImmutableBuffer(RawFrames.frame(.ping, [UInt8](repeating: 1, count: 8)))
            try await wire.send(frames)
            _ = try await wire.readFrame(.ping)
            let channel = try #require(children.all.last)
            let held = try await channel.eventLoop.submit {
                let connection = try channel.pipeline.syncOperations.handler(type: HTTP2Connection.self)
                return connection.streams.first?.held?.map { part in
                    if case .body(let bytes) = part { [bytes.readableBytes, bytes.storageCapacity] } else { [0, 0] }
                }
            }.get()
            let parts = try #require(held)
            #expect(parts.count < 10 && parts.reduce(0) { $0 + $1[0] } == 10_000)
            #expect(parts.reduce(0) { $0 + $1[1] } < 40_000)
        }
    }

    /// Small DATA frames are no offence as long as they bring something.
    @Test func uploadsInSmallFramesGoThrough() async throws {
        try await ProxyBench.run(http2: true) { wire, _ in
            _ = try await wire.readHead()
            // Those that waited for the origin may have become one chunk.
            var trailers = ""
            let content = try await wire.readChunked(trailers: &trailers)
            #expect(String(buffer: content) == String(repeating: "7", count: 5_000))
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
            _ = try await wire.readToEnd()
        } test: { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            let post = RawFrames.block([
                (":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ])
            var frames = RawFrames.frame(.headers, flags: RawFrames.endHeaders, stream: 1, post)
            for _ in 0..<5_000 { frames.writeImmutableBuffer(RawFrames.frame(.data, stream: 1, [UInt8(ascii: "7")])) }
            frames.writeImmutableBuffer(RawFrames.frame(.data, flags: RawFrames.endStream, stream: 1))
            try await wire.send(frames)
            _ = try await wire.readFrame(.headers)
            let body = try await wire.readFrame(.data)
            #expect(String(buffer: body.payload) == "whole")
        }
    }

    // MARK: After the end

    /// Once the connection is at its end, the rest of what was on its way is read, and no more.
    @Test(arguments: [false, true]) func littleIsReadAfterTheEnd(http2: Bool) async throws {
        var limits = ProxyLimits()
        limits.lingerTime = .seconds(5)
        try await ProxyBench.run(limits: limits, http2: http2, origin: HTTP2AbuseTests.silent) { bench in
            let wire = try await bench.client()
            try await wire.channel.setOption(.allowRemoteHalfClosure, value: true).get()
            if http2 {
                try await wire.beginHTTP2()
                try await wire.send(RawFrames.frame(.headers, stream: 2, [0]))
                _ = try await wire.readFrame(.goAway)
            } else {
                try await wire.send(
                    "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 1000000000\r\n\r\n")
                #expect(try await wire.readHead().hasPrefix("HTTP/1.1 421 "))
            }
            // A client that means harm goes on when the edge has said its last.
            let total = 60
            for _ in 0..<total {
                wire.channel.writeAndFlush(ByteBuffer(repeating: 0, count: 1_000_000), promise: nil)
            }
            try await Task.sleep(for: .seconds(1))
            #expect(wire.channel.isActive)
            let pending = try await wire.channel.getOption(.bufferedWritableBytes).get()
            #expect(pending > 40_000_000)
        }
    }
}
