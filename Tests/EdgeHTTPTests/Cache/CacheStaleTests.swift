import CacheStorage
import EdgeHTTP
import HTTPCaching
import NIOCore
import TestWire
import Testing

/// After a response's lifetime: asked about, served stale, or not.
@Suite(.timeLimit(.minutes(2))) struct CacheStaleTests {
    @Test func aStaleResponseIsConfirmedByTheOrigin() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            guard Wire.field("if-none-match", in: head) == "\"v1\"" else {
                return CacheBench.response("Cache-Control: max-age=10", "ETag: \"v1\"", "X-Version: 1")
            }
            return "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=20\r\nX-Version: 2\r\n\r\n"
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            bench.advance(seconds: 11)
            let confirmed = try await proxy.get("/a")
            #expect(confirmed.status == 200)
            #expect(confirmed.text == "hello")
            #expect(confirmed.field("x-version") == "2")
            #expect(
                confirmed.field("cache-status") == "bench; fwd=stale; fwd-status=304; ttl=20; detail=expired/max-age")
            bench.advance(seconds: 15)
            #expect(try await proxy.get("/a").field("cache-status") == "bench; hit; ttl=5")
            #expect(bench.count("/a") == 2)
            // The client's own condition is judged here, and the cache's goes to the origin.
            bench.advance(seconds: 10)
            #expect(try await proxy.get("/a", "If-None-Match: \"v1\"").status == 304)
            #expect(bench.requests("/a").map { Wire.field("if-none-match", in: $0) } == [nil, "\"v1\"", "\"v1\""])
        }
    }

    @Test func a304ThatSpeaksOfSomethingElseIsAskedAgain() async throws {
        let bench = CacheBench()
        try await bench.run { head, number in
            Wire.field("if-none-match", in: head) == nil
                ? CacheBench.response("Cache-Control: max-age=10", "ETag: \"v\(number)\"", body: "\(number)")
                : "HTTP/1.1 304 Not Modified\r\nETag: \"other\"\r\n\r\n"
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a").text == "1")
            bench.advance(seconds: 11)
            for _ in 1...2 { #expect(try await proxy.get("/a").text == "3") }
            #expect(bench.count("/a") == 3)
        }
    }

    @Test func staleWhileRevalidateAnswersAtOnceAndAsksBehind() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await bench.runWire { wire, head in
            let number = numbers.next()
            if number > 1 { try await gate.pass() }
            try await wire.send(
                CacheBench.response(
                    "Cache-Control: max-age=10, stale-while-revalidate=60", "ETag: \"v1\"", body: "\(number)"))
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a", "X-Visitor: 1").text == "1")
            bench.advance(seconds: 12)
            // The origin doesn't answer yet, and no client waits for it. It is asked once.
            for _ in 1...3 {
                let stale = try await proxy.get("/a", "X-Visitor: 2", "Range: bytes=0-0")
                #expect(stale.text == "1")
                #expect(stale.field("cache-status") == "bench; hit; ttl=-2; detail=stale-while-revalidate")
            }
            gate.open()
            try await eventually("the new response being stored") {
                bench.store.lookup(bench.key("/a")).first?.response.responseTime == bench.time
            }
            #expect(try await proxy.get("/a").text == "2")
            #expect(bench.count("/a") == 2)
            let behind = bench.requests("/a")[1]
            #expect(Wire.field("x-visitor", in: behind) == "2")
            #expect(Wire.field("if-none-match", in: behind) == "\"v1\"")
            #expect(Wire.field("range", in: behind) == nil)
        }
    }

    @Test("An error that a background refresh finds does not take the good page's place, whatever lifetime it has")
    func aBackgroundErrorLeavesThePage() async throws {
        let bench = CacheBench()
        try await bench.run { head, number in
            number == 1
                ? CacheBench.response("Cache-Control: max-age=10, stale-while-revalidate=60", "ETag: \"v1\"")
                : CacheBench.response("Cache-Control: max-age=600", status: "503 Service Unavailable", body: "no")
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            bench.advance(seconds: 12)
            #expect(try await proxy.get("/a").text == "hello")
            try await eventually("the origin being asked") { bench.count("/a") == 2 }
            for _ in 1...3 {
                let stale = try await proxy.get("/a")
                #expect(stale.status == 200)
                #expect(stale.text == "hello")
            }
            // When its time is over, the error is the answer.
            bench.advance(seconds: 600)
            #expect(try await proxy.get("/a").status == 503)
        }
    }

    @Test func aRequestWithAuthorizationRenewsTheWholeBehindItsBack() async throws {
        let bench = CacheBench()
        try await bench.run { _, number in
            CacheBench.response("Cache-Control: public, max-age=10, stale-while-revalidate=60", body: "\(number)")
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            bench.advance(seconds: 12)
            let stale = try await proxy.get(
                "/a", "Authorization: Basic YTpi", "Range: bytes=0-0", "If-None-Match: \"mine\"")
            #expect(stale.text == "1")
            try await eventually("the new response being stored") {
                bench.store.lookup(bench.key("/a")).first?.response.responseTime == bench.time
            }
            #expect(try await proxy.get("/a").text == "2")
            let behind = bench.requests("/a")[1]
            #expect(Wire.field("range", in: behind) == nil)
            #expect(Wire.field("if-none-match", in: behind) == nil)
            #expect(Wire.field("authorization", in: behind) != nil)
        }
    }

    @Test func aStaleResponseTakesTheOriginsPlaceWhileItFails() async throws {
        let bench = CacheBench()
        try await bench.run { head, number in
            if number == 1 { return CacheBench.response("Cache-Control: max-age=10, stale-if-error=100") }
            return number == 2 ? CacheBench.response(status: "503 Service Unavailable", body: "no") : nil
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            bench.advance(seconds: 20)
            let unavailable = try await proxy.get("/a")
            #expect(unavailable.status == 200)
            #expect(unavailable.text == "hello")
            #expect(
                unavailable.field("cache-status")
                    == "bench; fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error")
            let broken = try await proxy.get("/a")
            #expect(broken.text == "hello")
            #expect(broken.field("cache-status") == "bench; fwd=stale; ttl=-10; detail=stale-if-error")
            bench.advance(seconds: 100)
            #expect(try await proxy.get("/a").status == 502)
        }
    }

    @Test func mustRevalidateIsNeverServedStale() async throws {
        let bench = CacheBench()
        try await bench.run { _, number in
            number == 1 ? CacheBench.response("Cache-Control: max-age=10, must-revalidate") : nil
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            bench.advance(seconds: 20)
            #expect(try await proxy.get("/a").status == 502)
        }
    }

    @Test func aSoftPurgeMakesStaleAndAHardOneForgets() async throws {
        let bench = CacheBench()
        try await bench.run { head, number in
            Wire.field("if-none-match", in: head) == nil
                ? CacheBench.response(
                    "Cache-Control: max-age=100", "ETag: \"v1\"", "Surrogate-Key: all one", body: "\(number)")
                : "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n"
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a").text == "1")
            bench.store.purge(.tag("one", site: nil), .markStale(at: bench.time))
            bench.advance(seconds: 1)
            let confirmed = try await proxy.get("/a")
            #expect(confirmed.text == "1")
            #expect(confirmed.field("cache-status")?.hasPrefix("bench; fwd=stale; fwd-status=304") == true)
            #expect(try await proxy.get("/a").field("cache-status") == "bench; hit; ttl=100")
            bench.store.purge(.prefix(site: ProxyBench.host, uri: "https://\(ProxyBench.host)/"), .remove)
            #expect(try await proxy.get("/a").text == "3")
        }
    }
}

/// Waits until something holds; fails after a while.
func eventually(_ what: String, _ condition: () -> Bool) async throws {
    for _ in 0..<2000 {
        if condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("waited in vain for \(what)")
}
