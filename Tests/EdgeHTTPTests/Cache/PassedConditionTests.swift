import CacheStorage
import EdgeHTTP
import EdgeModel
import HTTPCaching
import NIOCore
import NIOPosix
import Synchronization
import TestWire
import Testing

/// Conditions and ranges on responses that no shared cache may keep: the client gets what it asked for all the same.
@Suite(.timeLimit(.minutes(2))) struct PassedConditionTests {
    /// Why a response is not stored.
    private static let refused: [[String]] = [
        ["Cache-Control: private, max-age=0, must-revalidate"], ["Cache-Control: no-store"],
        ["Cache-Control: max-age=60", "Set-Cookie: session=1"], ["Cache-Control: max-age=60", "Vary: *"],
    ]
    private static let body = String(repeating: "0123456789", count: 500)

    /// An origin that knows conditions and ranges, as web servers do.
    private static func answer(_ head: String, _ fields: [String]) -> String {
        let all = (fields + ["ETag: \"page\"", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"]).map { $0 + "\r\n" }
        let since = Wire.field("if-modified-since", in: head)
        if let tag = Wire.field("if-none-match", in: head) {
            if tag == "\"page\"" { return "HTTP/1.1 304 Not Modified\r\n\(all.joined())\r\n" }
        } else if since != nil {
            return "HTTP/1.1 304 Not Modified\r\n\(all.joined())\r\n"
        }
        if Wire.field("range", in: head) == "bytes=0-1" {
            return
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/\(Self.body.utf8.count)\r\nContent-Length: 2\r\n"
                + "\(all.joined())\r\n01"
        }
        return "HTTP/1.1 200 OK\r\nContent-Length: \(Self.body.utf8.count)\r\n\(all.joined())\r\n\(Self.body)"
    }

    @Test(arguments: refused) func aConditionIsAnsweredTheFirstTimeAndLater(fields: [String]) async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            Self.answer(head, fields)
        } test: { (proxy: ProxyBench) async throws -> Void in
            for turn in ["first", "second"] {
                let confirmed = try await proxy.get("/a", "If-None-Match: \"page\"")
                #expect(confirmed.status == 304, "\(turn)")
                #expect(confirmed.text == "")
                #expect(confirmed.field("etag") == "\"page\"")
                #expect(confirmed.field("content-length") == nil)
            }
            #expect(try await proxy.get("/b", "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT").status == 304)
            let other = try await proxy.get("/a", "If-None-Match: \"other\"")
            #expect(other.status == 200)
            #expect(other.text == Self.body)
            // The first was asked for all, since it might have been stored; the others as their clients asked.
            #expect(bench.requests("/a").map { Wire.field("if-none-match", in: $0) } == [nil, "\"page\"", "\"other\""])
            #expect(bench.store.lookup(bench.key("/a")).isEmpty)
        }
    }

    @Test(arguments: refused) func aRangeIsAnsweredTheFirstTimeAndLater(fields: [String]) async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            Self.answer(head, fields)
        } test: { (proxy: ProxyBench) async throws -> Void in
            for turn in ["first", "second"] {
                let part = try await proxy.get("/a", "Range: bytes=0-1")
                #expect(part.status == 206, "\(turn)")
                #expect(part.text == "01")
                #expect(part.field("content-range") == "bytes 0-1/5000")
                #expect(part.field("content-length") == "2")
            }
            let beyond = try await proxy.get("/b", "Range: bytes=5000-")
            #expect(beyond.status == 416)
            #expect(beyond.field("content-range") == "bytes */5000")
            #expect(beyond.text == "")
            #expect(try await proxy.get("/c", "Range: bytes=10-19", "If-Range: \"page\"").text == "0123456789")
            #expect(try await proxy.get("/d", "Range: bytes=10-19", "If-Range: \"x\"").text == Self.body)
        }
    }

    @Test func theConnectionOfTheClientGoesOnAfterItsPart() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            Self.answer(head, ["Cache-Control: private"])
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await proxy.client()
            for target in ["/a", "/b", "/c"] {
                try await client.send(ProxyBench.request("GET \(target) HTTP/1.1", "Range: bytes=4-7"))
                #expect(try await client.readResponse().text == "4567")
                try await client.send(ProxyBench.request("GET \(target)/x HTTP/1.1", "If-None-Match: \"page\""))
                #expect(try await client.readHead().hasPrefix("HTTP/1.1 304"))
            }
        }
    }

    @Test func anOriginNeedNotSendItAll() async throws {
        let bench = CacheBench()
        var configuration = SiteCacheConfiguration()
        configuration.policy.defaults.maximumObjectBytes = 1000
        let length = 32 << 20
        let sent = Mutex(0)
        try await bench.runWire(configuration) { wire, _ in
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: \(length)\r\n\r\n")
            let block = String(repeating: "x", count: 65_536)
            for _ in 0..<(length / 65_536) {
                do { try await wire.send(block) } catch { return false }
                sent.withLock { $0 += 65_536 }
            }
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let part = try await proxy.get("/a", "Range: bytes=0-1")
            #expect(part.status == 206)
            #expect(part.text == "xx")
            #expect(part.field("cache-status")?.hasSuffix("fwd-status=200; detail=too-large") == true)
            try await Task.sleep(for: .milliseconds(300))
            #expect(sent.withLock { $0 } < length)
        }
    }

    @Test func chunkedBodiesAreConfirmedToo() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            "HTTP/1.1 200 OK\r\nCache-Control: private\r\nETag: \"page\"\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "5\r\nhello\r\n0\r\n\r\n"
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1", "If-None-Match: \"page\""))
            let head = try await client.readHead()
            #expect(head.hasPrefix("HTTP/1.1 304"))
            #expect(Wire.field("transfer-encoding", in: head) == nil)
            // The connection goes on: nothing of the body came.
            try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
            #expect(try await client.readHead().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func overHTTP2Too() async throws {
        let bench = CacheBench()
        try await ProxyBench.run(
            http2: true, cache: SiteCacheConfiguration(), store: bench.store, clock: { bench.time }
        ) { wire, _ in
            while true {
                let head = try await wire.readHead()
                try await wire.send(Self.answer(head, ["Cache-Control: private"]))
            }
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await FrameClient.connect(proxy)
            for _ in 1...2 {
                let response = try await client.get("/a", [("if-none-match", "\"page\"")])
                #expect(response.status == 304)
                #expect(response.body.readableBytes == 0)
            }
            for _ in 1...2 {
                let response = try await client.get("/b", [("range", "bytes=0-1")])
                #expect(response.status == 206)
                #expect(String(buffer: response.body) == "01")
            }
        }
    }
}
