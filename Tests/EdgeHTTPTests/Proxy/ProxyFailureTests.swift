import EdgeHTTP
import EdgeModel
import Foundation
import NIOCore
import NIOSSL
import PrivateAuthority
import TestWire
import Testing

/// Origins that are down, slow, wrong or cut off, and clients that go away.
@Suite(.timeLimit(.minutes(2))) struct ProxyFailureTests {
    private static let silent: @Sendable (Wire, Int) async throws -> Void = { wire, _ in
        _ = try await wire.readToEnd()
    }

    /// Answers everything with `text`, then hangs up.
    private static func answering(_ text: String) -> @Sendable (Wire, Int) async throws -> Void {
        { wire, _ in
            _ = try await wire.readHead()
            try await wire.send(text)
        }
    }

    @Test func originDown() async throws {
        try await ProxyBench.run(origin: Self.silent) { bench in
            try await bench.origin.close()
            let client = try await bench.client()
            for _ in 1...2 {
                try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                let response = try await client.readResponse()
                #expect(response.status == 502)
                #expect(response.field("content-type") == "text/plain; charset=utf-8")
                #expect(response.field("cache-control") == "no-store")
                #expect(response.field("connection") == nil)
                #expect(!response.text.isEmpty)
            }
            try await client.send(ProxyBench.request("HEAD / HTTP/1.1"))
            #expect(try await client.readResponse(hasBody: false).status == 502)
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 10", body: "12345"))
            let response = try await client.readResponse()
            #expect(response.status == 502 && response.field("connection") == "close")
            #expect(try await client.readToEnd() == "")
        }
    }

    @Test func originSlow() async throws {
        try await ProxyBench.run {
            $0.responseTimeout = .milliseconds(200)
        } origin: { wire, _ in
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            #expect(try await client.readResponse().status == 504)
        }
    }

    @Test func originStopsInsideTheBody() async throws {
        try await ProxyBench.run {
            $0.responseTimeout = .seconds(1)
        } origin: { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            await #expect(throws: (any Error).self) { try await client.readResponse() }
        }
    }

    @Test(
        arguments: [
            "", "garbage\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\u{0}b\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 140_000) + "\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Le",
            // Nothing of it has gone out when the fault is found.
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        ].map { Message(text: $0) })
    func originTalksNonsense(answer: Message) async throws {
        try await ProxyBench.run(origin: Self.answering(answer.text)) { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 0"))
            #expect(try await client.readResponse().status == 502)
        }
    }

    @Test(
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        ].map { Message(text: $0) }, [false, true])
    func cutOffResponsesDoNotLookComplete(answer: Message, tls: Bool) async throws {
        try await ProxyBench.run(tls: tls, origin: Self.answering(answer.text)) { bench in
            for version in ["1.1", "1.0"] {
                let client = try await bench.client()
                try await client.send(ProxyBench.request("GET / HTTP/\(version)"))
                // A reset, or the end of TLS without close_notify; or by its framing an unfinished body.
                do {
                    let text = try await client.readToEnd()
                    #expect(version == "1.1" && !tls, "an orderly end")
                    #expect(!text.hasSuffix("0\r\n\r\n"))
                } catch {
                    #expect(!(error is WireEnded))
                }
            }
        }
    }

    @Test func keptConnectionThatDiedIsReplacedForRepeatableRequests() async throws {
        try await ProxyBench.run { wire, number in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\(number)")
            // Takes the next request, and hangs up without a word.
            _ = try await wire.readHead()
        } test: { bench in
            let client = try await bench.client()
            for number in 1...3 {
                try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                #expect(try await client.readResponse().text == "\(number)")
            }
            // Idempotent methods without content (RFC 9110 §9.2.2), whatever says that there is none.
            for (number, request) in [
                (4, ProxyBench.request("PUT / HTTP/1.1", "Content-Length: 0")),
                (5, ProxyBench.request("PROPFIND / HTTP/1.1")),
                (6, ProxyBench.request("DELETE / HTTP/1.1", "Content-Length: 0")),
            ] {
                try await client.send(request)
                #expect(try await client.readResponse().text == "\(number)")
            }
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 0"))
            #expect(try await client.readResponse().status == 502)
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            #expect(try await client.readResponse().text == "7")
            try await client.send(ProxyBench.request("PUT / HTTP/1.1", "Content-Length: 1", body: "x"))
            #expect(try await client.readResponse().status == 502)
        }
    }

    @Test func unaskedBytesFromTheOriginAreNoResponse() async throws {
        try await ProxyBench.run { wire, number in
            _ = try await wire.readHead()
            try await wire.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\(number)HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET /1 HTTP/1.1") + ProxyBench.request("GET /2 HTTP/1.1"))
            #expect(try await client.readResponse().text == "1")
            #expect(try await client.readResponse().text == "2")
        }
    }

    @Test func clientThatLeavesCancelsTheOriginsWork() async throws {
        let (gone, continuation) = AsyncStream.makeStream(of: Bool.self)
        try await ProxyBench.run { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
            _ = try? await wire.readToEnd()
            continuation.yield(true)
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            _ = try await client.readHead()
            try await client.channel.close()
            for await _ in gone { break }
        }
    }

    @Test func httpsOriginIsVerified() async throws {
        let (authority, certificate) = try ProxyBench.certificate(for: "origin.example.test")
        let roots = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).pem").path
        try Data(authority.utf8).write(to: URL(fileURLWithPath: roots))
        defer { try? FileManager.default.removeItem(atPath: roots) }
        let server = try ProxyBench.server(certificate)
        for (name, trusted, status) in [
            ("origin.example.test", true, 200), ("other.example.test", true, 502), ("origin.example.test", false, 502),
            (nil, true, 502),
        ] as [(String?, Bool, Int)] {
            try await ProxyBench.run(
                adjust: {
                    $0.tlsName = name
                    if trusted { $0.trustRoots = .file(roots) }
                }, originTLS: server
            ) { wire, _ in
                while true {
                    _ = try await wire.readHead()
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            } test: { bench in
                let client = try await bench.client()
                for _ in 1...2 {
                    try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                    #expect(try await client.readResponse().status == status, "\(name ?? "-") \(trusted)")
                }
                if status == 200 { #expect(bench.connections.current == 1) }
            }
        }
    }

    @Test func clientThatNeverSendsItsBody() async throws {
        var limits = ProxyLimits()
        limits.bodyTimeout = .milliseconds(200)
        try await ProxyBench.run(limits: limits, origin: Self.silent) { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 10", body: "12345"))
            let response = try await client.readResponse()
            #expect(response.status == 408 && response.field("connection") == "close")
        }
    }

    @Test func bodyThatTricklesAfterTheResponseHasBegun() async throws {
        var limits = ProxyLimits()
        limits.rateWindow = .milliseconds(200)
        limits.minimumRate = 1_000_000
        try await ProxyBench.run(limits: limits) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while true { try await wire.send(try await wire.read(1)) }
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 1000000"))
            _ = try await client.readHead()
            await #expect(throws: (any Error).self) {
                // Each byte goes there and back before the next, so there is never a silence.
                for _ in 1...50_000 {
                    try await client.send("x")
                    _ = try await client.read(1)
                }
            }
        }
    }

    @Test func clientThatNeverSendsARequest() async throws {
        var limits = ProxyLimits()
        limits.firstRequestTimeout = .milliseconds(200)
        try await ProxyBench.run(limits: limits, origin: Self.silent) { bench in
            let client = try await bench.client()
            // On a busy machine the connection may be closed before the bytes come: a reset then.
            try? await client.send("GET / HTTP/1.1\r\nX: ")
            #expect((try? await client.readToEnd()) ?? "" == "")
        }
    }

    @Test(
        arguments: [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: www.example.test\r\nHost: www.example.test\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", 421), ("nonsense\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505), ("GET / HTTP/1.1\nHost: www.example.test\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: www.example.test\n\n", 400),
            ("GET /a b HTTP/1.1\r\nHost: www.example.test\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: www.example.test\r\nX : y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: www.example.test\r\nX: a\u{0}b\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nHost: www.example.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400
            ),
            ("POST / HTTP/1.1\r\nHost: www.example.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
            ("POST / HTTP/1.1\r\nHost: www.example.test\r\nContent-Length: +3\r\n\r\nabc", 400),
            ("POST / HTTP/1.1\r\nHost: www.example.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            ("POST / HTTP/1.0\r\nHost: www.example.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: www.example.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
            ("CONNECT www.example.test:443 HTTP/1.1\r\nHost: www.example.test\r\n\r\n", 501),
            ("GET / HTTP/1.1\r\nHost: www.example.test\r\nVia: 1.1 bench\r\n\r\n", 508),
            ("GET /\(String(repeating: "a", count: 20_000)) HTTP/1.1\r\nHost: www.example.test\r\n\r\n", 414),
            ("GET / HTTP/1.1\r\nHost: www.example.test\r\nX: \(String(repeating: "a", count: 70_000))\r\n\r\n", 431),
            (
                "GET / HTTP/1.1\r\nHost: www.example.test\r\n"
                    + (1...200).map { "X\($0): y\r\n" }.joined() + "\r\n", 431
            ),
        ].map { (Message(text: $0.0), $0.1) })
    func refusedRequests(request: Message, status: Int) async throws {
        try await ProxyBench.run(origin: Self.silent) { bench in
            let client = try await bench.client()
            try await client.send(request.text)
            let response = try await client.readResponse()
            #expect(response.status == status)
            #expect(response.field("cache-control") == "no-store")
            if status == 400 { #expect(try await client.readToEnd() == "") }
        }
    }
}
