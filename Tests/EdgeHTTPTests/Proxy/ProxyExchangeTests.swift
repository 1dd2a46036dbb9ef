import Admission
import EdgeHTTP
import NIOCore
import TestWire
import Testing

/// Requests and responses that are as they should be.
@Suite(.timeLimit(.minutes(2))) struct ProxyExchangeTests {
    /// Answers every request with its own head, as the origin got it.
    private static let echoHead: @Sendable (Wire, Int) async throws -> Void = { wire, number in
        while true {
            let head = try await wire.readHead()
            try await wire.send(
                "HTTP/1.1 200 OK\r\nContent-Length: \(head.utf8.count)\r\nX-Connection: \(number)\r\n\r\n" + head)
        }
    }

    @Test func keepsConnectionsOnBothSides() async throws {
        try await ProxyBench.run(origin: Self.echoHead) { bench in
            let client = try await bench.client()
            for number in 1...3 {
                try await client.send(ProxyBench.request("GET /a%zz|\(number)?q={x} HTTP/1.1", "Accept: */*"))
                let response = try await client.readResponse()
                #expect(response.status == 200)
                #expect(response.field("x-connection") == "1")
                #expect(response.field("connection") == nil)
                #expect(response.text.hasPrefix("GET /a%zz|\(number)?q={x} HTTP/1.1\r\n"))
                #expect(Wire.field("via", in: response.text) == "1.1 bench")
                #expect(Wire.field("x-forwarded-for", in: response.text) == "127.0.0.1")
                #expect(Wire.field("host", in: response.text) == ProxyBench.host)
                #expect(Wire.field("connection", in: response.text) == nil)
            }
            #expect(bench.connections.current == 1)
        }
    }

    @Test(arguments: [("127.0.0.0/8", "192.0.2.9, 127.0.0.1"), ("10.0.0.0/8", "127.0.0.1")])
    func onlyTrustedProxiesAreBelieved(network: String, expected: String) async throws {
        let trusted = [try IPNetwork(parsing: network)]
        try await ProxyBench.run(trustedProxies: trusted, origin: Self.echoHead) { bench in
            let client = try await bench.client()
            try await client.send(
                ProxyBench.request("GET / HTTP/1.1", "X-Forwarded-For: 192.0.2.9", "Forwarded: for=192.0.2.9"))
            let response = try await client.readResponse()
            #expect(Wire.field("x-forwarded-for", in: response.text) == expected)
            let forwarded = try #require(Wire.field("forwarded", in: response.text))
            #expect(forwarded.hasPrefix("for=192.0.2.9, by=") == (network == "127.0.0.0/8"))
        }
    }

    @Test func answersPipelinedRequestsInOrder() async throws {
        try await ProxyBench.run(origin: Self.echoHead) { bench in
            let client = try await bench.client()
            var burst = ""
            for number in 1...20 {
                // Every third is answered by the edge itself.
                burst +=
                    number % 3 == 0
                    ? "GET /\(number) HTTP/1.1\r\nHost: other.test\r\n\r\n"
                    : ProxyBench.request("GET /\(number) HTTP/1.1")
            }
            try await client.send(burst)
            for number in 1...20 {
                let response = try await client.readResponse()
                #expect(response.status == (number % 3 == 0 ? 421 : 200))
                if number % 3 != 0 { #expect(response.text.hasPrefix("GET /\(number) ")) }
            }
            #expect(bench.connections.current == 1)
        }
    }

    @Test func responsesWithoutBody() async throws {
        try await ProxyBench.run { wire, _ in
            while true {
                let head = try await wire.readHead()
                if head.hasPrefix("HEAD") {
                    try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
                } else if head.contains("/304") {
                    try await wire.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n")
                } else if head.contains("/204") {
                    try await wire.send("HTTP/1.1 204 No Content\r\n\r\n")
                } else {
                    try await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
                }
            }
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("HEAD /x HTTP/1.1"))
            var response = try await client.readResponse(hasBody: false)
            #expect(response.status == 200 && response.field("content-length") == "5000")
            try await client.send(ProxyBench.request("GET /304 HTTP/1.1"))
            response = try await client.readResponse(hasBody: false)
            #expect(response.status == 304 && response.field("content-length") == "77")
            try await client.send(ProxyBench.request("GET /204 HTTP/1.1"))
            response = try await client.readResponse(hasBody: false)
            #expect(response.status == 204 && response.field("content-length") == nil)
            #expect(response.field("transfer-encoding") == nil)
            try await client.send(ProxyBench.request("GET /chunked HTTP/1.1"))
            #expect(try await client.readResponse().text == "ok")
            #expect(bench.connections.current == 1)
        }
    }

    /// A body that the origin may have left unread must not become its next request.
    @Test(arguments: [
        ("GET", "X: 1", false, 2), ("OPTIONS", "X: 1", false, 2), ("PUT", "X: 1", false, 1),
        ("PUT", "Expect: 100-continue", false, 2), ("PUT", "Expect: 100-continue", true, 1),
    ])
    func connectionsThatMayBeOutOfStep(method: String, field: String, continues: Bool, connections: Int) async throws {
        try await ProxyBench.run { wire, _ in
            while true {
                let head = try await wire.readHead()
                if continues, Wire.field("expect", in: head) != nil {
                    try await wire.send("HTTP/1.1 100 Continue\r\n\r\n")
                }
                if let length = Wire.field("content-length", in: head).flatMap({ Int($0) }) {
                    _ = try await wire.read(length)
                }
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        } test: { bench in
            let client = try await bench.client()
            for _ in 0..<2 {
                try await client.send(
                    ProxyBench.request("\(method) / HTTP/1.1", "Content-Length: 3", field))
                if continues { #expect(try await client.readHead().hasPrefix("HTTP/1.1 100")) }
                try await client.send("abc")
                #expect(try await client.readResponse().text == "ok")
            }
            #expect(bench.connections.current == connections)
        }
    }

    @Test func chunkedBothWaysWithTrailers() async throws {
        try await ProxyBench.run { wire, _ in
            let head = try await wire.readHead()
            #expect(Wire.field("transfer-encoding", in: head) == "chunked")
            #expect(Wire.field("te", in: head) == "trailers")
            var body = ""
            while case let line = try await wire.readLine(), let size = Int(line, radix: 16), size > 0 {
                body += try await wire.readText(size)
                _ = try await wire.readLine()
            }
            var trailers = ""
            while case let line = try await wire.readLine(), !line.isEmpty { trailers += line }
            #expect(trailers == "X-Sum: 12")
            try await wire.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Out\r\n\r\n"
                    + "5\r\n\(body)\r\n0\r\nX-Out: 9\r\nSet-Cookie: 3\r\n\r\n")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(
                ProxyBench.request(
                    "POST / HTTP/1.1", "Transfer-Encoding: chunked", "TE: trailers", "Trailer: X-Sum",
                    body: "2\r\nab\r\n3\r\ncde\r\n0\r\nX-Sum: 12\r\n\r\n"))
            let response = try await client.readResponse()
            #expect(response.text == "abcde")
            #expect(response.trailers == "X-Out: 9\n")
        }
    }

    @Test func oldClients() async throws {
        try await ProxyBench.run { wire, _ in
            while true {
                let head = try await wire.readHead()
                #expect(head.contains(" HTTP/1.1\r\n"))
                #expect(Wire.field("via", in: head) == "1.0 bench")
                try await wire.send(
                    head.contains("/chunked")
                        ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                        : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        } test: { bench in
            var client = try await bench.client()
            try await client.send("GET /chunked HTTP/1.0\r\n\r\n")
            let all = try await client.readToEnd()
            #expect(all.hasSuffix("\r\n\r\nhello"))
            #expect(!all.lowercased().contains("transfer-encoding"))
            client = try await bench.client()
            try await client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            var response = try await client.readResponse()
            #expect(response.text == "ok" && response.field("connection") == "keep-alive")
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            response = try await client.readResponse()
            #expect(response.field("connection") == "close")
            #expect(try await client.readToEnd() == "")
        }
    }

    @Test func oldOriginReadUntilClose() async throws {
        try await ProxyBench.run { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.0 200 OK\r\n\r\nuntil the end")
        } test: { bench in
            let client = try await bench.client()
            for _ in 1...2 {
                try await client.send(ProxyBench.request("GET / HTTP/1.1"))
                let response = try await client.readResponse()
                #expect(response.text == "until the end")
                #expect(response.field("transfer-encoding") == "chunked")
            }
            #expect(bench.connections.current == 2)
        }
    }

    @Test func expectContinueGoesToTheOrigin() async throws {
        try await ProxyBench.run { wire, number in
            while true {
                let head = try await wire.readHead()
                #expect(Wire.field("expect", in: head) == "100-continue")
                if head.contains("/no") {
                    return try await wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
                }
                try await wire.send("HTTP/1.1 100 Continue\r\n\r\n")
                let body = try await wire.readText(5)
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\(body)")
            }
        } test: { bench in
            var client = try await bench.client()
            try await client.send(ProxyBench.request("PUT / HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"))
            #expect(try await client.readHead().hasPrefix("HTTP/1.1 100 Continue\r\n"))
            try await client.send("hello")
            #expect(try await client.readResponse().text == "hello")

            client = try await bench.client()
            try await client.send(ProxyBench.request("PUT /no HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"))
            let response = try await client.readResponse()
            #expect(response.status == 413 && response.field("connection") == "close")
            #expect(try await client.readToEnd() == "")
        }
    }

    @Test func earlyHintsArePassedOn() async throws {
        try await ProxyBench.run { wire, _ in
            _ = try await wire.readHead()
            try await wire.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET / HTTP/1.1"))
            let hints = try await client.readHead()
            #expect(hints.hasPrefix("HTTP/1.1 103 ") && Wire.field("link", in: hints) == "</a.css>")
            #expect(try await client.readResponse().status == 200)
        }
    }

    @Test func earlyResponseWhileTheBodyIsStillComing() async throws {
        try await ProxyBench.run { wire, _ in
            _ = try await wire.readHead()
            try await wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 1000000", body: "begin"))
            let response = try await client.readResponse()
            #expect(response.status == 403 && response.text == "no" && response.field("connection") == "close")
        }
    }

    @Test func lastRequestOfAConnection() async throws {
        var limits = ProxyLimits()
        limits.requestsPerConnection = 2
        try await ProxyBench.run(limits: limits, origin: Self.echoHead) { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET /1 HTTP/1.1"))
            #expect(try await client.readResponse().field("connection") == nil)
            try await client.send(ProxyBench.request("GET /2 HTTP/1.1"))
            #expect(try await client.readResponse().field("connection") == "close")
            #expect(try await client.readToEnd() == "")
        }
    }

    @Test func overTLS() async throws {
        try await ProxyBench.run(tls: true, origin: Self.echoHead) { bench in
            let client = try await bench.client()
            for _ in 1...2 {
                try await client.send(ProxyBench.request("GET /tls HTTP/1.1"))
                #expect(try await client.readResponse().text.hasPrefix("GET /tls "))
            }
            try await client.send(ProxyBench.request("GET /bye HTTP/1.1", "Connection: close"))
            #expect(try await client.readResponse().field("connection") == "close")
            // With close_notify: the stream ends without an error.
            #expect(try await client.readToEnd() == "")
        }
    }

    /// RFC 8446 §6.1: close_notify ends one direction. Requests that came before it are answered.
    @Test func clientsThatEndTheirSideGetTheirAnswers() async throws {
        try await ProxyBench.run(tls: true) { wire, _ in
            while true {
                let head = try await wire.readHead()
                // The client's end is known by then.
                try await Task.sleep(for: .milliseconds(100))
                let target = head.split(separator: " ")[1]
                try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(target.utf8.count)\r\n\r\n\(target)")
            }
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET /1 HTTP/1.1") + ProxyBench.request("GET /2 HTTP/1.1"))
            client.channel.close(mode: .output, promise: nil)
            #expect(try await client.readResponse().text == "/1")
            let last = try await client.readResponse()
            #expect(last.text == "/2" && last.field("connection") == "close")
            #expect(try await client.readToEnd() == "")
        }
    }

    /// A client that is gone in the middle of a request gets nothing, and its exchange ends.
    @Test func clientsThatEndWithinARequestAreGone() async throws {
        let (events, continuation) = AsyncStream.makeStream(of: String.self)
        try await ProxyBench.run(tls: true) { wire, _ in
            _ = try await wire.readHead()
            continuation.yield("here")
            _ = try? await wire.readToEnd()
            continuation.yield("gone")
        } test: { bench in
            let client = try await bench.client()
            try await client.send(ProxyBench.request("POST / HTTP/1.1", "Content-Length: 10", body: "12345"))
            var origin = events.makeAsyncIterator()
            #expect(await origin.next() == "here")
            client.channel.close(mode: .output, promise: nil)
            #expect(await origin.next() == "gone")
            #expect(try await client.readToEnd() == "")
        }
    }

    /// Requests that ask for another protocol, and do not get it.
    @Test func whatFollowsAnUpgradeThatIsNotMadeIsHTTP() async throws {
        try await ProxyBench.run(origin: Self.echoHead) { bench in
            let client = try await bench.client()
            try await client.send(
                ProxyBench.request("GET /1 HTTP/1.1", "Connection: Upgrade", "Upgrade: x")
                    + ProxyBench.request("GET /2 HTTP/1.1"))
            #expect(try await client.readResponse().text.hasPrefix("GET /1 "))
            #expect(try await client.readResponse().text.hasPrefix("GET /2 "))
        }
    }

    /// Field bytes outside ASCII, the reason phrase and the method pass as they are, both ways.
    @Test func bytesPassUnchanged() async throws {
        let odd: [UInt8] = [0x63, 0xE9, 0xFF, 0xC3, 0x28]
        try await ProxyBench.run { wire, _ in
            let start = "M-SEARCH / HTTP/1.1\r\n"
            #expect(try await wire.readText(start.utf8.count) == start)
            var read = ByteBuffer()
            while !read.readableBytesView.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                var byte = try await wire.read(1)
                read.writeBuffer(&byte)
            }
            #expect(read.readableBytesView.firstRange(of: Array("Cookie: a=".utf8) + odd + Array("\r\n".utf8)) != nil)
            var answer = ByteBuffer(string: "HTTP/1.1 200 ")
            answer.writeBytes(odd)
            answer.writeString("\r\nX-Odd: ")
            answer.writeBytes(odd)
            answer.writeString("\r\nContent-Length: 0\r\n\r\n")
            try await wire.send(answer)
            _ = try await wire.readToEnd()
        } test: { bench in
            let client = try await bench.client()
            var request = ByteBuffer(string: "M-SEARCH / HTTP/1.1\r\nHost: \(ProxyBench.host)\r\nCookie: a=")
            request.writeBytes(odd)
            request.writeString("\r\n\r\n")
            try await client.send(request)
            let line = try await client.read(13 + odd.count)
            #expect(Array(line.readableBytesView) == Array("HTTP/1.1 200 ".utf8) + odd)
            var read = ByteBuffer()
            while !read.readableBytesView.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                var byte = try await client.read(1)
                read.writeBuffer(&byte)
            }
            #expect(read.readableBytesView.firstRange(of: Array("X-Odd: ".utf8) + odd + Array("\r\n".utf8)) != nil)
        }
    }
}
