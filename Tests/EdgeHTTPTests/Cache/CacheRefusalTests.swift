import CacheStorage
import EdgeHTTP
import EdgeModel
import HTTPCaching
import NIOCore
import TestWire
import Testing

/// What is never stored, never served wrongly, and what makes the store forget.
@Suite(.timeLimit(.minutes(2))) struct CacheRefusalTests {
    /// Asks twice; the origin must have been asked twice.
    private func isNotStored(
        _ response: String, request fields: String = "Accept: */*", _ comment: Comment? = nil
    ) async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            response
        } test: { (proxy: ProxyBench) async throws -> Void in
            for _ in 1...2 { #expect(try await proxy.get("/a", fields).text == "hello", comment) }
            #expect(bench.count("/a") == 2, comment)
            #expect(bench.store.lookup(bench.key("/a")).isEmpty, comment)
        }
    }

    @Test func responsesForOneVisitorAreNotShared() async throws {
        try await self.isNotStored(CacheBench.response("Cache-Control: no-store, max-age=60"))
        try await self.isNotStored(CacheBench.response("Cache-Control: private, max-age=60"))
        try await self.isNotStored(CacheBench.response("Cache-Control: max-age=60", "Set-Cookie: session=1"))
        try await self.isNotStored(CacheBench.response("Cache-Control: max-age=60", "Vary: *"))
        try await self.isNotStored(
            CacheBench.response("Cache-Control: max-age=60"), request: "Authorization: Basic YTpi")
        try await self.isNotStored(CacheBench.response("X-Nothing: said"))
        try await self.isNotStored(CacheBench.response("Cache-Control: max-age=60"), request: "Cache-Control: no-store")
        try await self.isNotStored(CacheBench.response("Cache-Control: max-age=60"), request: "X-Original-URL: /other")
    }

    @Test func variantsAreKeptApart() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            CacheBench.response(
                "Cache-Control: max-age=60", "Vary: Accept-Encoding, X-Forwarded-For",
                body: Wire.field("accept-encoding", in: head) ?? "none")
        } test: { (proxy: ProxyBench) async throws -> Void in
            for _ in 1...2 {
                #expect(try await proxy.get("/a", "Accept-Encoding: gzip").text == "gzip")
                #expect(try await proxy.get("/a", "Accept-Encoding: br").text == "br")
                #expect(try await proxy.get("/a").text == "none")
            }
            #expect(bench.count("/a") == 3)
        }
    }

    @Test func aBodyThatBreaksOffIsNeitherStoredNorPassedAsWhole() async throws {
        let bench = CacheBench()
        try await bench.runWire { wire, head in
            if head.contains(" /length ") {
                try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello")
            } else {
                try await wire.send(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            }
            return false
        } test: { (proxy: ProxyBench) async throws -> Void in
            for target in ["/length", "/chunked"] {
                let client = try await proxy.client()
                try await client.send(ProxyBench.request("GET \(target) HTTP/1.1"))
                await #expect(throws: (any Error).self) { try await client.readResponse() }
                #expect(bench.store.lookup(bench.key(target)).isEmpty)
            }
        }
    }

    @Test func whereTheEndOfTheBodyIsNotCertainNothingIsStored() async throws {
        let bench = CacheBench()
        try await bench.runWire { wire, _ in
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhello")
            return false
        } test: { (proxy: ProxyBench) async throws -> Void in
            let response = try await proxy.get("/a")
            #expect(response.text == "hello")
            #expect(response.field("cache-status")?.hasSuffix("detail=end-not-certain") == true)
            #expect(bench.store.lookup(bench.key("/a")).isEmpty)
        }
    }

    @Test func anErrorThatAnswersARangeIsNotTheWhole() async throws {
        let bench = CacheBench()
        try await bench.run { head, _ in
            Wire.field("range", in: head) == nil
                ? CacheBench.response("Cache-Control: max-age=60")
                : CacheBench.response(
                    "Cache-Control: max-age=60", "Content-Range: bytes */5", status: "416 No", body: "none")
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a", "Range: bytes=2000000-").status == 416)
            #expect(bench.store.lookup(bench.key("/a")).isEmpty)
            #expect(try await proxy.get("/a").text == "hello")
        }
    }

    /// Responses to POST that say that GET would bring the same.
    @Test func aPostIsStoredOnlyIfItIsWhole() async throws {
        let bench = CacheBench()
        var configuration = SiteCacheConfiguration()
        configuration.policy.defaults.maximumObjectBytes = 1000
        let body = String(repeating: "x", count: 5000)
        try await bench.runWire(configuration) { wire, head in
            let target = String(head.split(separator: " ")[1])
            let fields = "Cache-Control: max-age=60\r\nContent-Location: \(target)\r\n"
            switch (head.hasPrefix("POST"), target) {
            case (false, _): try await wire.send(CacheBench.response("Cache-Control: max-age=60", body: "got"))
            case (_, "/whole"): try await wire.send("HTTP/1.1 200 OK\r\n\(fields)Content-Length: 5\r\n\r\nhello")
            case (_, "/large"):
                try await wire.send(
                    "HTTP/1.1 200 OK\r\n\(fields)Transfer-Encoding: chunked\r\n\r\n1388\r\n\(body)\r\n0\r\n\r\n")
            default:
                try await wire.send("HTTP/1.1 200 OK\r\n\(fields)\r\nfirst half")
                return false
            }
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            for (target, posted, got) in [
                ("/whole", "hello", "hello"), ("/large", body, "got"), ("/cut", "first half", "got"),
            ] {
                #expect(try await proxy.get(target, "Content-Length: 0", method: "POST").text == posted)
                #expect(try await proxy.get(target).text == got, "\(target)")
            }
        }
    }

    @Test func whatIsLargerThanTheSiteAllowsIsPassedOn() async throws {
        let bench = CacheBench()
        var configuration = SiteCacheConfiguration()
        configuration.policy.defaults.maximumObjectBytes = 1000
        let body = String(repeating: "x", count: 5000)
        try await bench.runWire(configuration) { wire, head in
            if head.contains(" /known ") {
                try await wire.send(CacheBench.response("Cache-Control: max-age=60", body: body))
            } else {
                try await wire.send(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "1388\r\n\(body)\r\n0\r\n\r\n")
            }
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            for target in ["/known", "/unknown"] {
                #expect(try await proxy.get(target).text == body)
                #expect(bench.store.lookup(bench.key(target)).isEmpty)
            }
        }
    }

    @Test func anUnsafeRequestInvalidatesWhatIsStored() async throws {
        let bench = CacheBench()
        try await bench.run { head, number in
            head.hasPrefix("GET")
                ? CacheBench.response("Cache-Control: max-age=60", body: "\(number)")
                : CacheBench.response("Location: /b", status: head.contains(" /fails ") ? "500 No" : "200 OK")
        } test: { (proxy: ProxyBench) async throws -> Void in
            #expect(try await proxy.get("/a").text == "1")
            #expect(try await proxy.get("/b").text == "2")
            #expect(try await proxy.get("/fails").text == "3")
            _ = try await proxy.get("/a", "Content-Length: 0", method: "POST")
            _ = try await proxy.get("/fails", "Content-Length: 0", method: "DELETE")
            #expect(try await proxy.get("/a").text == "6")
            #expect(try await proxy.get("/b").text == "7")
            #expect(try await proxy.get("/fails").text == "3")
            _ = try await proxy.get("/a", method: "M-SEARCH")
            #expect(try await proxy.get("/a").text == "9")
            #expect(bench.requests("/a").contains { $0.hasPrefix("M-SEARCH /a ") })
        }
    }

    @Test func aPurgeDuringAFillKeepsItOut() async throws {
        let bench = CacheBench()
        let gate = Gate()
        try await bench.runWire { wire, _ in
            try await wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello")
            try await gate.pass()
            try await wire.send("world")
            return true
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
            #expect(try await client.readHead().hasPrefix("HTTP/1.1 200"))
            #expect(try await client.readText(5) == "hello")
            bench.store.purge(.key(bench.key("/a")), .remove)
            gate.open()
            #expect(try await client.readText(5) == "world")
            #expect(try await proxy.get("/a").text == "helloworld")
            #expect(bench.count("/a") == 2)
        }
    }

    @Test func informationalResponsesAndTrailersPass() async throws {
        let bench = CacheBench()
        try await bench.run { _, _ in
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                + "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                + "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
        } test: { (proxy: ProxyBench) async throws -> Void in
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
            let hints = try await client.readHead()
            #expect(hints.hasPrefix("HTTP/1.1 103"))
            let first = try await client.readResponse()
            #expect(first.text == "hello")
            #expect(first.trailers == "X-Sum: 42\n")
            let second = try await proxy.get("/a")
            #expect(second.text == "hello")
            #expect(second.field("link") == nil)
            #expect(bench.count("/a") == 1)
        }
    }
}
