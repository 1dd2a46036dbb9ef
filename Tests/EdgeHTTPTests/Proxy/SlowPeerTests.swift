import CacheStorage
import EdgeModel
import NIOCore
import NIOHTTP2
import TestWire
import Testing

@testable import EdgeHTTP

/// Clients and origins that move a byte now and then, so as to hold on to what they have.
@Suite(.timeLimit(.minutes(2))) struct SlowPeerTests {
    private static let size = 20_000_000

    /// 200 kB/s over half a second; silence is allowed for longer than a test takes.
    private static func limits(rate: Int = 200_000) -> ProxyLimits {
        var limits = ProxyLimits()
        limits.minimumRate = rate
        limits.rateWindow = .milliseconds(500)
        return limits
    }

    private static let large: @Sendable (Wire, Int) async throws -> Void = { wire, _ in
        _ = try await wire.readHead()
        try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: \(Self.size)\r\n\r\n")
        for _ in 0..<Self.size / 100_000 { try await wire.send(ByteBuffer(repeating: 7, count: 100_000)) }
        _ = try await wire.readToEnd()
    }

    private static func run(
        _ limits: ProxyLimits, tls: Bool = false, http2: Bool = false, cached: Bool = false,
        adjust: @escaping (inout OriginConfiguration) -> Void = { _ in },
        origin: @escaping @Sendable (Wire, Int) async throws -> Void, test: (ProxyBench) async throws -> Void
    ) async throws {
        try await ProxyBench.run(
            limits: limits, tls: tls, http2: http2, adjust: adjust,
            cache: cached ? SiteCacheConfiguration() : nil, store: cached ? ResponseStore() : nil, origin: origin,
            test: test)
    }

    // MARK: Clients that read slowly

    /// Reads some bytes each 50 ms, by turning reading on for one read.
    private static func readSlowly(_ wire: Wire, for time: Duration) async throws {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < time, wire.channel.isActive {
            wire.channel.read()
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    @Test(arguments: [false, true], [false, true]) func slowReadersAreCutOff(tls: Bool, cached: Bool) async throws {
        let children = Children()
        let store = ResponseStore()
        try await ProxyBench.run(
            limits: Self.limits(rate: 10_000_000), tls: tls, children: children,
            cache: cached ? SiteCacheConfiguration() : nil, store: cached ? store : nil, origin: Self.large
        ) { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            _ = try await client.readHead()
            try await client.channel.setOption(.autoRead, value: false).get()
            let served = try #require(children.all.last)
            let start = ContinuousClock.now
            while served.isActive, ContinuousClock.now - start < .seconds(20) {
                client.channel.read()
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(!served.isActive)
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    /// Reads all the time, though not much: as fast as it must.
    @Test func readersThatAreFastEnoughGetEverything() async throws {
        try await Self.run(Self.limits(rate: 20_000), origin: Self.large) { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            _ = try await client.readHead()
            try await client.channel.setOption(.autoRead, value: false).get()
            try await Self.readSlowly(client, for: .seconds(3))
            try await client.channel.setOption(.autoRead, value: true).get()
            #expect(try await client.read(Self.size).readableBytes == Self.size)
        }
    }

    /// A few bytes of window now and then. The first arguments leave a response waiting, the others one that has ended.
    @Test(arguments: [(20_000_000, false), (20_000_000, true), (30_000, false), (30_000, true)])
    func slowWindowsAreCutOff(size: Int, cached: Bool) async throws {
        try await Self.run(Self.limits(), http2: true, cached: cached) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: \(size)\r\n\r\n")
            try await wire.send(ByteBuffer(repeating: 7, count: size))
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await FrameClient.connect(
                bench, settings: [HTTP2Setting(parameter: .initialWindowSize, value: 100)], grants: false)
            let id = try await client.request("GET", "/")
            let channel = client.channel
            let granting = Task {
                while !Task.isCancelled {
                    try await Task.sleep(for: .milliseconds(50))
                    let frame = HTTP2Frame(streamID: id, payload: .windowUpdate(windowSizeIncrement: 10))
                    try await channel.writeAndFlush(frame)
                }
            }
            let response = try await client.response(id)
            granting.cancel()
            #expect(response.reset == .cancel)
            #expect(response.body.readableBytes < 5_000)
            try await client.ping()
        }
    }

    /// Much slower than the origin, for many windows; the origin is to be read again each time.
    @Test(arguments: [false, true]) func steadyWindowsGetEverything(cached: Bool) async throws {
        let size = 2_000_000
        try await Self.run(Self.limits(rate: 10_000), http2: true, cached: cached) {
            $0.responseTimeout = .seconds(1)
        } origin: { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: \(size)\r\n\r\n")
            try await wire.send(ByteBuffer(repeating: 7, count: size))
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await FrameClient.connect(
                bench, settings: [HTTP2Setting(parameter: .initialWindowSize, value: 1_000)], grants: false)
            let id = try await client.request("GET", "/")
            let channel = client.channel
            let granting = Task {
                try await channel.writeAndFlush(
                    HTTP2Frame(streamID: .rootStream, payload: .windowUpdate(windowSizeIncrement: size)))
                while !Task.isCancelled {
                    try await Task.sleep(for: .milliseconds(5))
                    let frame = HTTP2Frame(streamID: id, payload: .windowUpdate(windowSizeIncrement: 2_100))
                    try await channel.writeAndFlush(frame)
                }
            }
            let response = try await client.response(id)
            granting.cancel()
            #expect(response.reset == nil)
            #expect(response.body.readableBytes == size)
        }
    }

    // MARK: Clients that send slowly

    private static func trickle(_ wire: Wire, _ bytes: Int) -> Task<Void, any Error> {
        let channel = wire.channel
        return Task {
            for _ in 0..<bytes {
                try await Task.sleep(for: .milliseconds(50))
                try await channel.writeAndFlush(ByteBuffer(string: "x"))
            }
        }
    }

    /// Whatever it has sent before: credit does not last.
    @Test(arguments: [0, 1_000_000]) func slowSendersGet408(before: Int) async throws {
        try await Self.run(Self.limits()) { wire, _ in
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 10000000"))
            try await client.send(ByteBuffer(repeating: 7, count: before))
            let sender = Self.trickle(client, 1_000)
            #expect(try await client.readResponse().status == 408)
            sender.cancel()
        }
    }

    @Test func slowSendersGet408OverHTTP2() async throws {
        try await Self.run(Self.limits(), http2: true, origin: HTTP2AbuseTests.silent) { bench in
            let client = try await FrameClient.connect(bench)
            let id = try await client.request("POST", "/", open: true)
            let channel = client.channel
            let sender = Task {
                while !Task.isCancelled {
                    try await Task.sleep(for: .milliseconds(50))
                    let part = HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(ByteBuffer(string: "x"))))
                    try await channel.writeAndFlush(HTTP2Frame(streamID: id, payload: part))
                }
            }
            let response = try await client.response(id)
            sender.cancel()
            #expect(response.status == 408)
        }
    }

    // MARK: Those who are not slow

    /// The origin thinks, then sends an event now and then, without saying how much there will be.
    @Test(arguments: [false, true], [false, true])
    func waitingForTheOriginIsNotSlow(http2: Bool, cached: Bool) async throws {
        try await Self.run(Self.limits(), http2: http2, cached: cached) {
            $0.minimumRate = 200_000
            $0.rateWindow = .milliseconds(300)
        } origin: { wire, _ in
            _ = try await wire.readHead()
            try await Task.sleep(for: .milliseconds(1_500))
            try await wire.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<5 {
                try await Task.sleep(for: .milliseconds(400))
                try await wire.send("1\r\nx\r\n")
            }
            try await wire.send("0\r\n\r\n")
            _ = try await wire.readToEnd()
        } test: { bench in
            if http2 {
                let client = try await FrameClient.connect(bench)
                #expect(try await client.get("/").text == "xxxxx")
            } else {
                #expect(try await bench.get("/").text == "xxxxx")
            }
        }
    }

    @Test func quietTunnelsAreNotSlow() async throws {
        try await Self.run(Self.limits()) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            try await Task.sleep(for: .milliseconds(1_500))
            try await wire.send("late")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x"))
            _ = try await client.readHead()
            #expect(try await client.readText(4) == "late")
        }
    }

    // MARK: Origins

    /// It has announced how much it sends, and then trickles.
    @Test(arguments: [false, true]) func slowOriginsAreCutOff(cached: Bool) async throws {
        try await Self.run(ProxyLimits(), cached: cached) {
            $0.minimumRate = 200_000
            $0.rateWindow = .milliseconds(300)
        } origin: { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\n")
            for _ in 0..<1_000 {
                try await Task.sleep(for: .milliseconds(50))
                try await wire.send("x")
            }
        } test: { bench in
            let start = ContinuousClock.now
            await #expect(throws: (any Error).self) { try await bench.get("/") }
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    /// It takes a request's body by a few bytes now and then.
    @Test func originsThatReadSlowlyAreCutOff() async throws {
        try await Self.run(ProxyLimits()) {
            $0.minimumRate = 10_000_000
            $0.rateWindow = .milliseconds(500)
        } origin: { wire, _ in
            try await wire.channel.setOption(.autoRead, value: false).get()
            try await Self.readSlowly(wire, for: .seconds(30))
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: \(Self.size)"))
            client.channel.writeAndFlush(ByteBuffer(repeating: 7, count: Self.size), promise: nil)
            #expect(try await client.readResponse().status == 504)
        }
    }

    /// 1xx responses are signs of life, yet not for ever.
    @Test(arguments: [false, true], [false, true])
    func informationalResponsesDoNotExtendTheTimeForEver(http2: Bool, cached: Bool) async throws {
        try await Self.run(ProxyLimits(), http2: http2, cached: cached) {
            $0.responseTimeout = .milliseconds(300)
        } origin: { wire, _ in
            _ = try await wire.readHead()
            for _ in 0..<60 {
                try await wire.send("HTTP/1.1 102 Processing\r\n\r\n")
                try await Task.sleep(for: .milliseconds(200))
            }
        } test: { bench in
            let start = ContinuousClock.now
            if http2 {
                let client = try await FrameClient.connect(bench)
                #expect(try await client.get("/").status == 504)
            } else {
                let client = try await bench.client()
                try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                var head = try await client.readHead()
                while head.hasPrefix("HTTP/1.1 102 ") { head = try await client.readHead() }
                #expect(head.hasPrefix("HTTP/1.1 504 "))
            }
            #expect(ContinuousClock.now - start > .milliseconds(1_000))
            #expect(ContinuousClock.now - start < .seconds(6))
        }
    }
}
