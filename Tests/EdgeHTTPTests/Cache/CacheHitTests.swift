import CacheStorage
import EdgeHTTP
import EdgeModel
import HTTPCaching
import HTTPFields
import NIOCore
import TestWire
import Testing

/// What is answered from the store, and how it looks to a client.
@Suite(.timeLimit(.minutes(2))) struct CacheHitTests {
    @Test func theSecondRequestIsAnsweredFromTheStore() async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            CacheBench.response("Cache-Control: max-age=60", "X-Mark: 1")
        } test: { (proxy: ProxyBench) async throws -> Void in
            let first = try await proxy.get("/a")
            #expect(first.text == "hello")
            #expect(first.field("age") == nil)
            #expect(
                first.field("cache-status")
                    == "bench; fwd=uri-miss; fwd-status=200; stored; ttl=60; detail=max-age")
            bench.advance(seconds: 7)
            let second = try await proxy.get("/a")
            #expect(second.status == 200)
            #expect(second.text == "hello")
            #expect(second.field("x-mark") == "1")
            #expect(second.field("age") == "7")
            #expect(second.field("cache-status") == "bench; hit; ttl=53")
            #expect(second.field("content-length") == "5")
            #expect(second.field("transfer-encoding") == nil)
            #expect(bench.count("/a") == 1)
            #expect(try await proxy.get("/b").text == "hello")
            #expect(bench.count("/b") == 1)
        }
    }

    /// Over HTTP/2 a stored head is a stored block: made once, right for every client, and made anew when the head is.
    @Test func aStoredBlockHasTheWholeHead() async throws {
        let bench = CacheBench()
        let requests = Counter()
        try await ProxyBench.run(
            http2: true, cache: SiteCacheConfiguration(), store: bench.store, clock: { bench.time }
        ) { wire, _ in
            while true {
                _ = try await wire.readHead()
                let number = requests.next()
                try await wire.send(
                    number == 1
                        ? CacheBench.response("Cache-Control: max-age=60", "ETag: \"1\"", "X-Mark: \(number)")
                        : "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nX-Mark: \(number)\r\n\r\n")
            }
        } test: { proxy in
            _ = try await FrameClient.connect(proxy).get("/a")
            for (seconds, age, mark) in [(7, "7", "1"), (1, "8", "1"), (60, "0", "2"), (5, "5", "2")]
                as [(Int64, String, String)]
            {
                bench.advance(seconds: seconds)
                for client in [try await FrameClient.connect(proxy), try await FrameClient.connect(proxy)] {
                    let hit = try await client.get("/a")
                    #expect(hit.status == 200 && hit.text == "hello")
                    #expect(hit.field("age") == age && hit.field("x-mark") == mark && hit.field("etag") == "\"1\"")
                    #expect(hit.field("content-length") == "5" && hit.field("cache-control") == "max-age=60")
                    #expect(hit.field("cache-status")?.hasPrefix("bench; ") == true)
                    #expect(hit.head?.map(\.name).count == Set(hit.head?.map(\.name) ?? []).count)
                    let head = try await client.response(try await client.request("HEAD", "/a"))
                    #expect(head.field("content-length") == "5" && head.field("x-mark") == mark && head.text == "")
                }
            }
        }
    }

    @Test("No content is no content: a GET with Content-Length: 0 is looked up and stored (RFC 9110 §8.6)")
    func aLengthOfNothing() async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            CacheBench.response("Cache-Control: max-age=60")
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a", "Content-Length: 0").text == "hello")
            let second = try await proxy.get("/a", "Content-Length: 0")
            #expect(second.field("cache-status") == "bench; hit; ttl=60")
            #expect(try await proxy.get("/a").field("cache-status") == "bench; hit; ttl=60")
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func hitsInOneBurstAreAnsweredInOrder() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            CacheBench.response("Cache-Control: max-age=60", body: String(head.split(separator: " ")[1]))
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await proxy.client()
            // Hits behind misses behind hits: 200 requests in one write.
            let targets = (0..<200).map { "/\($0 % 7)" }
            try await client.send(targets.map { ProxyBench.request("GET \($0) HTTP/1.1") }.joined())
            for target in targets { #expect(try await client.readResponse().text == target) }
            for number in 0..<7 { #expect(bench.count("/\(number)") == 1) }
        }
    }

    @Test func conditionsAndRangesAreAnsweredFromTheStore() async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            CacheBench.response(
                "Cache-Control: max-age=60", "ETag: \"v1\"", "Content-Type: text/plain", body: "0123456789")
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            let unmodified = try await proxy.get("/a", "If-None-Match: W/\"v1\"")
            #expect(unmodified.status == 304)
            #expect(unmodified.field("etag") == "\"v1\"")
            #expect(unmodified.body.readableBytes == 0)
            #expect(try await proxy.get("/a", "If-None-Match: \"v2\"").text == "0123456789")
            let part = try await proxy.get("/a", "Range: bytes=2-4")
            #expect(part.status == 206)
            #expect(part.text == "234")
            #expect(part.field("content-range") == "bytes 2-4/10")
            #expect(try await proxy.get("/a", "Range: bytes=-3").text == "789")
            #expect(try await proxy.get("/a", "Range: bytes=20-").status == 416)
            let head = try await proxy.get("/a", method: "HEAD")
            #expect(head.status == 200)
            #expect(head.field("content-length") == "10")
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func severalRangesAreParts() async throws {
        let bench = CacheBench()
        let body = String(repeating: "0123456789", count: 100)
        try await bench.run { _, _ in
            CacheBench.response("Cache-Control: max-age=60", body: body)
        } test: { (proxy: ProxyBench) async throws -> Void in
            // On the way into the store it can't be read twice, so the whole is sent.
            let miss = try await proxy.get("/a", "Range: bytes=0-1,500-502")
            #expect(miss.status == 200)
            #expect(miss.text == body)
            let hit = try await proxy.get("/a", "Range: bytes=0-1,500-502")
            #expect(hit.status == 206)
            #expect(hit.field("content-type")?.hasPrefix("multipart/byteranges; boundary=") == true)
            #expect(hit.text.contains("Content-Range: bytes 0-1/1000\r\n\r\n01\r\n"))
            #expect(hit.text.contains("Content-Range: bytes 500-502/1000\r\n\r\n012\r\n"))
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func aRangeThatMissesIsCutFromTheWhole() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            CacheBench.response("Cache-Control: max-age=60", "X-Range: \(Wire.field("range", in: head) ?? "none")")
        } test: { (proxy: ProxyBench) async throws -> Void in
            let part = try await proxy.get("/a", "Range: bytes=1-2")
            #expect(part.status == 206)
            #expect(part.text == "el")
            #expect(part.field("x-range") == "none")
            #expect(try await proxy.get("/a").text == "hello")
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func onlyIfCachedNeverAsksTheOrigin() async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            CacheBench.response("Cache-Control: max-age=60")
        } test: { (proxy: ProxyBench) async throws -> Void in
            let missing = try await proxy.get("/a", "Cache-Control: only-if-cached")
            #expect(missing.status == 504)
            #expect(missing.field("cache-status") == "bench; detail=only-if-cached")
            #expect(bench.count("/a") == 0)
            _ = try await proxy.get("/a")
            #expect(try await proxy.get("/a", "Cache-Control: only-if-cached").status == 200)
        }
    }

    @Test func http10ClientsGetWholeBodiesTheyUnderstand() async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        } test: { (proxy: ProxyBench) async throws -> Void in
            for number in 1...2 {
                let client = try await proxy.client()
                try await client.send("GET /a HTTP/1.0\r\nHost: \(ProxyBench.host)\r\n\r\n")
                let text = try await client.readToEnd()
                #expect(text.hasSuffix("\r\n\r\nhello"))
                #expect(!text.lowercased().contains("transfer-encoding"))
                // Its length is known once it is stored.
                #expect(text.contains("Content-Length: 5") == (number == 2))
            }
            #expect(bench.count("/a") == 1)
        }
    }

    @Test func whatASiteAddsAndRemovesShowsOnEveryResponse() async throws {
        let bench = CacheBench()
        var configuration = SiteCacheConfiguration(reportsStatus: false)
        configuration.policy.defaults.responseFields = FieldEdits(
            remove: ["server"].compactMap { FieldName($0) }, add: [.init(name: "X-Edge", value: "paris")])
        try await bench.run(configuration) { head, _ in
            CacheBench.response(
                head.contains(" /private ") ? "Cache-Control: no-store" : "Cache-Control: max-age=9", "Server: x")
        } test: { (proxy: ProxyBench) async throws -> Void in
            for target in ["/a", "/a", "/private"] {
                let response = try await proxy.get(target)
                #expect(response.field("x-edge") == "paris")
                #expect(response.field("server") == nil)
                #expect(response.field("cache-status") == nil)
            }
            #expect(bench.count("/a") == 1)
        }
    }

    /// RFC 9110 §8.6: a request without content is one, also where it says so.
    @Test func aLengthOfZeroIsNoContent() async throws {
        let bench = CacheBench()
        try await bench.run(origin: { _, _ in CacheBench.response("Cache-Control: max-age=60") }) { proxy in
            for _ in 1...3 {
                let client = try await proxy.client()
                try await client.send(ProxyBench.request("GET /zero HTTP/1.1", "Content-Length: 0"))
                #expect(try await client.readResponse().text == "hello")
                try? await client.channel.close()
            }
        }
        #expect(bench.count("/zero") == 1)
    }
}
