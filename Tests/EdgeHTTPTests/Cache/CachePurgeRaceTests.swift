import CacheStorage
import EdgeHTTP
import HTTPCaching
import NIOCore
import TestWire
import Testing

/// Purges, and what else removes entries, while requests wait.
@Suite(.timeLimit(.minutes(2))) struct CachePurgeRaceTests {
    /// A stale entry is asked about by one request, for which another waits, when a purge comes; then the origin fails.
    private func purge(
        _ kind: @escaping (CacheBench) -> PurgeKind,
        then check: @escaping (ProxyBench, CacheBench, Wire.Response, Wire.Response) async throws -> Void
    ) async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await bench.runWire { wire, head in
            switch numbers.next() {
            case 1:
                try await wire.send(
                    CacheBench.response("Cache-Control: max-age=10, stale-if-error=1000", "ETag: \"v1\"", body: "old"))
            case 2:
                try await gate.pass()
                try await wire.send(CacheBench.response(status: "500 No", body: "failed"))
            default:
                let isNews = Wire.field("if-none-match", in: head) == nil
                try await wire.send(
                    isNews
                        ? CacheBench.response("Cache-Control: max-age=10", body: "new")
                        : "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n")
            }
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a").text == "old")
            bench.advance(seconds: 11)
            let first = try await proxy.client()
            try await first.send(ProxyBench.request("GET /a HTTP/1.1"))
            try await eventually("the origin being asked") { bench.count("/a") == 2 }
            let second = try await proxy.client()
            try await second.send(ProxyBench.request("GET /a HTTP/1.1"))
            try await eventually("the second request waiting") { bench.store.statistics.joined == 1 }
            bench.store.purge(.key(bench.key("/a")), kind(bench))
            gate.open()
            try await check(proxy, bench, try await first.readResponse(), try await second.readResponse())
        }
    }

    @Test func aHardPurgeHoldsForThoseWhoWait() async throws {
        try await self.purge({ _ in .remove }) {
            (proxy: ProxyBench, bench: CacheBench, first: Wire.Response, second: Wire.Response) async throws -> Void in
            #expect(first.status == 500)
            #expect(second.text == "new")
            #expect(try await proxy.get("/a").text == "new")
            #expect(bench.requests("/a").map { Wire.field("if-none-match", in: $0) } == [nil, "\"v1\"", nil])
        }
    }

    @Test func aSoftPurgeLeavesThemWhatMayBeServedStale() async throws {
        try await self.purge({ .markStale(at: $0.time) }) {
            (proxy: ProxyBench, bench: CacheBench, first: Wire.Response, second: Wire.Response) async throws -> Void in
            #expect(first.text == "old")
            #expect(second.text == "old")
            // Confirmed after the purge.
            #expect(try await proxy.get("/a").field("cache-status")?.hasPrefix("bench; hit") == true)
            #expect(bench.count("/a") == 3)
        }
    }

    @Test func whatA304RefutesIsReplacedAndItsSiblingStays() async throws {
        let bench = CacheBench()
        try await bench.run { head, number in
            if Wire.field("if-none-match", in: head) != nil {
                return "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"
            }
            let lifetime = Wire.field("accept-language", in: head) == "de" ? 10 : 1000
            return CacheBench.response(
                "Cache-Control: max-age=\(lifetime)", "ETag: \"v\(number)\"", "Vary: Accept-Language", body: "\(number)"
            )
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a", "Accept-Language: de").text == "1")
            #expect(try await proxy.get("/a", "Accept-Language: en").text == "2")
            bench.advance(seconds: 11)
            #expect(try await proxy.get("/a", "Accept-Language: de").text == "4")
            #expect(try await proxy.get("/a", "Accept-Language: de").text == "4")
            #expect(try await proxy.get("/a", "Accept-Language: en").text == "2")
            #expect(bench.count("/a") == 4)
        }
    }

    @Test func whatMayNotBeStoredAnyMoreStillServesThoseWhoWait() async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await bench.runWire { wire, _ in
            let number = numbers.next()
            if number == 2 { try await gate.pass() }
            try await wire.send(
                number == 1
                    ? CacheBench.response("Cache-Control: max-age=10", "ETag: \"v1\"")
                    : "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: private\r\n\r\n")
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            _ = try await proxy.get("/a")
            bench.advance(seconds: 11)
            var clients: [Wire] = []
            for number in 0..<5 {
                let client = try await proxy.client()
                try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
                if number == 0 { try await eventually("the origin being asked") { bench.count("/a") == 2 } }
                clients.append(client)
            }
            try await eventually("the others waiting") { bench.store.statistics.joined == 4 }
            gate.open()
            for client in clients {
                let response = try await client.readResponse()
                #expect(response.status == 200)
                #expect(response.text == "hello")
            }
            #expect(bench.store.lookup(bench.key("/a")).isEmpty)
        }
    }

    /// Responses under a key were for one client each, so that requests go by themselves; then one comes that could be stored.
    @Test(arguments: [true, false]) func aPurgeHoldsForWhatWasAskedForAlone(isPurged: Bool) async throws {
        let bench = CacheBench()
        let gate = Gate()
        let numbers = Counter()
        try await bench.runWire { wire, _ in
            switch numbers.next() {
            case 1:
                try await wire.send(CacheBench.response("Cache-Control: private", body: "own"))
            case 2:
                try await gate.pass()
                try await wire.send(CacheBench.response("Cache-Control: max-age=1000", body: "old"))
            default:
                try await wire.send(CacheBench.response("Cache-Control: max-age=1000", body: "new"))
            }
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a").text == "own")
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
            try await eventually("the origin being asked") { bench.count("/a") == 2 }
            if isPurged { bench.store.purge(.key(bench.key("/a")), .remove) }
            gate.open()
            #expect(try await client.readResponse().text == "old")
            #expect(try await proxy.get("/a").text == (isPurged ? "new" : "old"))
            #expect(bench.count("/a") == (isPurged ? 3 : 2))
        }
    }
}
