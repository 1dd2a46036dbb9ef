import EdgeModel
import NIOCore
import NIOHTTP2
import TestWire
import Testing

@testable import EdgeHTTP

/// What a hostile client does to a connection, and how that ends.
@Suite(.timeLimit(.minutes(2))) struct HTTP2AbuseTests {
    static let calm: UInt32 = 0xB
    private static let protocolError: UInt32 = 0x1

    /// An origin that takes requests and answers none.
    static let silent: @Sendable (Wire, Int) async throws -> Void = { wire, _ in _ = try await wire.readToEnd()
    }

    private static func limits(_ adjust: (inout ProxyLimits) -> Void) -> ProxyLimits {
        var limits = ProxyLimits()
        adjust(&limits)
        return limits
    }

    /// Sends the frames, and acknowledges the settings before them; returns the code of the GOAWAY that follows.
    static func ends(
        _ limits: ProxyLimits = ProxyLimits(), after frames: [ByteBuffer], acknowledging: Bool = true
    ) async throws -> UInt32? {
        var code: UInt32?
        try await ProxyBench.run(limits: limits, http2: true, origin: Self.silent) { bench in
            let wire = try await bench.client()
            var bytes = RawFrames.preface
            bytes.writeImmutableBuffer(RawFrames.frame(.settings))
            if acknowledging { bytes.writeImmutableBuffer(RawFrames.frame(.settings, flags: RawFrames.acknowledge)) }
            for frame in frames { bytes.writeImmutableBuffer(frame) }
            // The server may close before it has read everything.
            wire.channel.writeAndFlush(bytes, promise: nil)
            code = try await wire.readFrame(.goAway).errorCode
            _ = try? await wire.readToEnd()
        }
        return code
    }

    @Test func rapidReset() async throws {
        let limits = Self.limits { $0.http2.resets = 50 }
        var frames: [ByteBuffer] = []
        for number in 0..<60 {
            let id = UInt32(2 * number + 1)
            frames.append(
                RawFrames.frame(
                    .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: id, RawFrames.get()))
            frames.append(RawFrames.frame(.reset, stream: id, [0, 0, 0, 8]))
        }
        #expect(try await Self.ends(limits, after: frames) == Self.calm)
    }

    /// Frames that make the server do the resetting.
    @Test func provokedResets() async throws {
        let limits = Self.limits { $0.http2.streamErrors = 20 }
        var frames: [ByteBuffer] = []
        for number in 0..<60 {
            let id = UInt32(2 * number + 1)
            frames.append(
                RawFrames.frame(
                    .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: id, RawFrames.get()))
            frames.append(RawFrames.frame(.windowUpdate, stream: id, [0x7F, 0xFF, 0xFF, 0xFF]))
        }
        #expect(try await Self.ends(limits, after: frames) == Self.calm)
    }

    /// The same with what the library takes for trailers, and the rules don't.
    @Test(arguments: [("x-a", "v "), ("x-a", "\u{1}"), ("te", "gzip"), (":x", "y")])
    func provokedResetsByTrailers(name: String, value: String) async throws {
        let limits = Self.limits { $0.http2.streamErrors = 20 }
        let get: [UInt8] = RawFrames.get()
        let trailers: [UInt8] = RawFrames.block([(name, value)])
        var frames: [ByteBuffer] = []
        for number in 0..<60 {
            let id = UInt32(2 * number + 1)
            frames.append(RawFrames.frame(.headers, flags: RawFrames.endHeaders, stream: id, get))
            frames.append(
                RawFrames.frame(.headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: id, trailers))
        }
        #expect(try await Self.ends(limits, after: frames) == Self.calm)
    }

    /// Values that only the rules find malformed.
    @Test func provokedResetsByFields() async throws {
        let limits = Self.limits { $0.http2.streamErrors = 20 }
        let frames = (0..<60).map { number in
            RawFrames.frame(
                .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: UInt32(2 * number + 1),
                RawFrames.get("/", [("x-a", "v ")]))
        }
        #expect(try await Self.ends(limits, after: frames) == Self.calm)
    }

    @Test func resetsAreCountedInAWindow() {
        var resets = FrameRate(limit: 2, window: .seconds(30))
        let start = NIODeadline.now()
        let answers = [0, 29, 29, 30, 31, 32].map { resets.permits(now: start + .seconds($0)) }
        #expect(answers == [true, true, false, true, true, false])
    }

    @Test func malformedRequestsWithoutEnd() async throws {
        let limits = Self.limits { $0.http2.streamErrors = 20 }
        let frames = (0..<60).map { number in
            RawFrames.frame(
                .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: UInt32(2 * number + 1),
                RawFrames.get("/", [("connection", "x")]))
        }
        #expect(try await Self.ends(limits, after: frames) == Self.calm)
    }

    @Test(arguments: [
        RawFrames.frame(.ping, [UInt8](repeating: 0, count: 8)), RawFrames.frame(.settings),
        RawFrames.frame(.priority, stream: 3, [0, 0, 0, 0, 1]),
    ])
    func controlFrameFloods(frame: ByteBuffer) async throws {
        let limits = Self.limits { $0.http2.controlFrames = 100 }
        #expect(try await Self.ends(limits, after: Array(repeating: frame, count: 120)) == Self.calm)
    }

    @Test func windowUpdateFlood() async throws {
        let limits = Self.limits { $0.http2.idleFrames = 100 }
        let frame = RawFrames.frame(.windowUpdate, [0, 0, 0, 1])
        #expect(try await Self.ends(limits, after: Array(repeating: frame, count: 120)) == Self.calm)
    }

    /// CVE-2019-9511: a window that is opened byte by byte has each byte framed and sealed for itself.
    @Test func windowsThatAreOpenedByteByByte() async throws {
        let limits = Self.limits { $0.http2.idleFrames = 200 }
        let bench = CacheBench()
        try await ProxyBench.run(
            limits: limits, http2: true, cache: SiteCacheConfiguration(), store: bench.store, clock: { bench.time }
        ) { wire, _ in
            _ = try await wire.readHead()
            let body = String(repeating: "b", count: 5_000)
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5000\r\n\r\n" + body)
            _ = try? await wire.readHead()
        } test: { proxy in
            let wire = try await proxy.client()
            try await wire.send(RawFrames.preface)
            // SETTINGS_INITIAL_WINDOW_SIZE 0.
            try await wire.send(RawFrames.frame(.settings, [0, 4, 0, 0, 0, 0]))
            try await wire.send(RawFrames.frame(.settings, flags: RawFrames.acknowledge))
            try await wire.send(
                RawFrames.frame(
                    .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: 1, RawFrames.get()))
            #expect(try await wire.readFrame(.headers).status == "200")
            for number in 0..<300 {
                wire.channel.writeAndFlush(RawFrames.frame(.windowUpdate, stream: 1, [0, 0, 0, 1]), promise: nil)
                let frame = try await wire.readFrame()
                if frame.kind == .goAway {
                    #expect(frame.errorCode == Self.calm && number > 100)
                    return
                }
                #expect(frame.kind == .data && frame.payload.readableBytes == 1)
            }
            Issue.record("nothing stopped it")
        }
    }

    /// RFC 9113 §6.8: a client repeats what is behind the last stream that a GOAWAY names.
    @Test func aFaultNamesTheLastRequestThatWasBegun() async throws {
        try await ProxyBench.run(http2: true, origin: Self.silent) { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            for stream: UInt32 in [1, 7] {
                try await wire.send(RawFrames.frame(.headers, flags: 5, stream: stream, RawFrames.get()))
            }
            try await wire.send(RawFrames.frame(.pushPromise, flags: 4, stream: 1, [0, 0, 0, 2]))
            let goAway = try await wire.readFrame(.goAway)
            #expect(goAway.errorCode == Self.protocolError)
            #expect(goAway.payload.getInteger(at: goAway.payload.readerIndex, as: UInt32.self) == 7)
        }
    }

    @Test func emptyDataFlood() async throws {
        let open = RawFrames.frame(.headers, flags: RawFrames.endHeaders, stream: 1, RawFrames.get())
        let empty = RawFrames.frame(.data, stream: 1)
        #expect(try await Self.ends(after: [open] + Array(repeating: empty, count: 10)) == Self.calm)
    }

    @Test func continuationFlood() async throws {
        let block = RawFrames.get()
        let open = RawFrames.frame(.headers, stream: 1, Array(block.prefix(10)))
        let next = RawFrames.frame(.continuation, stream: 1)
        #expect(try await Self.ends(after: [open] + Array(repeating: next, count: 20)) == Self.calm)
    }

    /// The request is refused; the connection, whose tables are in step, goes on. Also before our settings are known.
    @Test(arguments: [true, false]) func fieldsThatAreTooLarge(acknowledging: Bool) async throws {
        let limits = Self.limits { $0.maximumHeadBytes = 20_000 }
        let value = String(repeating: "v", count: 4_000)
        let large = RawFrames.get("/", (0..<6).map { ("x-\($0)", value) })
        // A field of 4 KB in the table, and one byte for each time it is meant.
        var bomb = RawFrames.get()
        bomb.append(0x40)
        bomb.append(contentsOf: RawFrames.block([("x", String(repeating: "v", count: 4_000))]).dropFirst())
        bomb.append(contentsOf: [UInt8](repeating: 0x80 | 62, count: 15))
        try await ProxyBench.run(limits: limits, http2: true, origin: HTTP2FailureTests.hello) { [bomb] bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2(acknowledging: acknowledging)
            for (stream, block) in [(1, large), (3, bomb), (5, RawFrames.get())] as [(UInt32, [UInt8])] {
                try await wire.send(RawFrames.frame(.headers, flags: 1, stream: stream, Array(block.prefix(16_000))))
                try await wire.send(
                    RawFrames.frame(
                        .continuation, flags: RawFrames.endHeaders, stream: stream, Array(block.dropFirst(16_000))))
                let head = try await wire.readFrame(.headers)
                #expect(head.stream == stream)
                #expect(try head.status == (stream == 5 ? "200" : "431"))
            }
        }
    }

    /// One block that decodes to megabytes, and many that are only too large.
    @Test func floodsOfFields() async throws {
        var bomb: [UInt8] = RawFrames.get()
        bomb.append(0x40)
        bomb.append(contentsOf: RawFrames.block([("x", String(repeating: "v", count: 4_000))]).dropFirst())
        bomb.append(contentsOf: [UInt8](repeating: 0x80 | 62, count: 2_000))
        let flags = RawFrames.endStream | RawFrames.endHeaders
        #expect(
            try await Self.ends(after: [RawFrames.frame(.headers, flags: flags, stream: 1, bomb)]) == Self.calm)
        let limits = Self.limits {
            $0.maximumHeadBytes = 1_000
            $0.http2.streamErrors = 20
        }
        let large: [UInt8] = RawFrames.get("/", [("x", String(repeating: "v", count: 1_000))])
        let frames = (0..<21).map {
            RawFrames.frame(.headers, flags: flags, stream: UInt32(2 * $0 + 1), large)
        }
        #expect(try await Self.ends(limits, after: frames) == Self.calm)
    }

    /// RFC 7541 §7.3: what requests that have no end hold is bounded, and what ends makes room.
    @Test(arguments: ["GET", "POST"]) func fieldsOfUnfinishedRequestsAreBounded(method: String) async throws {
        let limits = Self.limits { $0.http2.heldSections = 100_000 }
        try await ProxyBench.run(limits: limits, http2: true, origin: HTTP2FailureTests.hello) { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2()
            // A field of 4 KB in the table; each further request holds ten of it, for some hundred bytes.
            let start: [UInt8] = RawFrames.block([
                (":method", method), (":scheme", "https"), (":path", "/"), (":authority", ProxyBench.host),
            ])
            let first = [0x40] + RawFrames.block([("x", String(repeating: "v", count: 4_000))]).dropFirst()
            let fields = [UInt8](repeating: 0x80 | 62, count: 10)
            try await wire.send(
                RawFrames.frame(.headers, flags: RawFrames.endHeaders, stream: 1, start + first + fields.dropFirst()))
            for stream: UInt32 in [3, 5] {
                try await wire.send(
                    RawFrames.frame(.headers, flags: RawFrames.endHeaders, stream: stream, start + fields))
            }
            let refused = try await wire.readFrame(.reset)
            #expect(refused.stream == 3 && refused.errorCode == 0x7)
            #expect(try await wire.readFrame(.reset).stream == 5)
            try await wire.send(RawFrames.frame(.data, flags: RawFrames.endStream, stream: 1))
            let head = try await wire.readFrame(.headers)
            #expect(try head.stream == 1 && head.status == "200")
            _ = try await wire.readFrame(.data)
            try await wire.send(
                RawFrames.frame(
                    .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: 7, start + fields))
            #expect(try await wire.readFrame(.headers).stream == 7)
        }
    }

    @Test func blocksThatCannotBeDecoded() async throws {
        let flags = RawFrames.endStream | RawFrames.endHeaders
        let broken = RawFrames.frame(.headers, flags: flags, stream: 1, [0xBE])
        #expect(try await Self.ends(after: [broken]) == 0x9)
        let interrupted = [
            RawFrames.frame(.headers, flags: 1, stream: 1, RawFrames.get()),
            RawFrames.frame(.ping, [UInt8](repeating: 0, count: 8)),
        ]
        #expect(try await Self.ends(after: interrupted) == Self.protocolError)
        let large = RawFrames.frame(.headers, flags: flags, stream: 1, [UInt8](repeating: 0x82, count: 16_385))
        #expect(try await Self.ends(after: [large]) == 0x6)
    }

    @Test func settingsThatAreNeverAcknowledged() async throws {
        let limits = Self.limits { $0.firstRequestTimeout = .seconds(2) }
        let get = RawFrames.frame(
            .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: 1, RawFrames.get())
        #expect(try await Self.ends(limits, after: [get], acknowledging: false) == 0x4)
    }

    @Test func connectionsWithoutARequest() async throws {
        let limits = Self.limits { $0.firstRequestTimeout = .seconds(2) }
        #expect(try await Self.ends(limits, after: []) == 0)
    }

    /// Before it knows our settings a client may open as many streams as it likes: those above the limit are refused.
    @Test func streamsBeforeTheSettingsAreKnown() async throws {
        let limits = Self.limits { $0.http2.concurrentStreams = 10 }
        try await ProxyBench.run(limits: limits, http2: true, origin: Self.silent) { bench in
            let wire = try await bench.client()
            try await wire.beginHTTP2(acknowledging: false)
            for number in 0..<12 {
                try await wire.send(
                    RawFrames.frame(
                        .headers, flags: RawFrames.endStream | RawFrames.endHeaders, stream: UInt32(2 * number + 1),
                        RawFrames.get()))
            }
            for expected: UInt32 in [21, 23] {
                let reset = try await wire.readFrame(.reset)
                #expect(reset.stream == expected && reset.errorCode == 0x7)
            }
        }
    }

    @Test func idleConnectionsAreToldAndClosed() async throws {
        let limits = Self.limits { $0.idleTimeout = .milliseconds(200) }
        try await ProxyBench.run(limits: limits, http2: true, origin: HTTP2FailureTests.hello) { bench in
            let client = try await FrameClient.connect(bench)
            #expect(try await client.get("/").status == 200)
            await client.readToEnd()
            #expect(client.goAways == [.init(last: 1, code: .noError)])
        }
    }

    @Test func theRequestLimitEndsTheConnectionGracefully() async throws {
        let limits = Self.limits { $0.requestsPerConnection = 3 }
        try await ProxyBench.run(limits: limits, http2: true, origin: HTTP2FailureTests.hello) { bench in
            let client = try await FrameClient.connect(bench)
            var ids: [HTTP2StreamID] = []
            for _ in 0..<3 { ids.append(try await client.request("GET", "/")) }
            for id in ids { #expect(try await client.response(id).text == "hello") }
            await client.readToEnd()
            #expect(client.goAways.first == .init(last: .maxID, code: .noError))
            #expect(client.goAways.last == .init(last: 5, code: .noError))
        }
    }

    @Test func drainingServesWhatIsUnderWay() async throws {
        let (proceed, go) = AsyncStream.makeStream(of: Void.self)
        let children = Children()
        try await ProxyBench.run(http2: true, children: children) { wire, _ in
            _ = try await wire.readHead()
            var iterator = proceed.makeAsyncIterator()
            await iterator.next()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        } test: { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("GET", "/")
            try await client.ping()
            for channel in children.all { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
            while client.goAways.count < 2 { #expect(await client.more()) }
            #expect(client.goAways == [.init(last: .maxID, code: .noError), .init(last: id, code: .noError)])
            go.finish()
            #expect(try await client.response(id).text == "late")
            await client.readToEnd()
        }
    }

    @Test func slowBodiesAre408() async throws {
        let limits = Self.limits { $0.bodyTimeout = .milliseconds(200) }
        try await ProxyBench.run(limits: limits, http2: true, origin: Self.silent) { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/", open: true)
            while client.soFar(id).reset == nil { #expect(await client.more()) }
            #expect(client.soFar(id).status == 408 && client.soFar(id).reset == .noError)
        }
    }

    @Test(arguments: [1_000, 10_000_000]) func responsesThatNobodyReadsAreReset(size: Int) async throws {
        let limits = Self.limits { $0.writeTimeout = .milliseconds(200) }
        try await ProxyBench.run(limits: limits, http2: true) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            try await wire.send(ByteBuffer(repeating: 7, count: size))
            _ = try? await wire.readHead()
        } test: { bench in
            let client = try await FrameClient.connect(
                bench, settings: [HTTP2Setting(parameter: .initialWindowSize, value: 100)], grants: false)
            let response = try await client.response(try await client.request("GET", "/"))
            #expect(response.body.readableBytes == 100 && response.reset == .cancel)
        }
    }
}
