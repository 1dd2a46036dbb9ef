import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import TLSWire
import Testing

@Suite struct RequestRulesTests {
    let builder: RequestBuilder

    init() throws { self.builder = try RequestBuilder() }

    @Test func plainRequest() throws {
        let request = try self.builder.sent(
            "GET", "/a|b?x={1}[2]&e=%zz", [("Accept", "*/*"), ("Cookie", "a=b"), ("Cookie", "c=d")])
        #expect(request.target == "/a|b?x={1}[2]&e=%zz")
        #expect(request["accept"] == ["*/*"])
        #expect(request["cookie"] == ["a=b", "c=d"])
        #expect(request["host"] == ["www.example.test"])
        #expect(request["via"] == ["1.1 paris"])
        #expect(request["forwarded"] == ["by=_paris;for=192.0.2.7;proto=https;host=www.example.test"])
        #expect(request["x-forwarded-for"] == ["192.0.2.7"])
        #expect(request["x-forwarded-proto"] == ["https"])
        #expect(request["x-forwarded-host"] == ["www.example.test"])
        #expect(request["connection"].isEmpty)
        #expect(request.body == .none)
        #expect(request.clientPersists && !request.upgrades && !request.expectsContinue)
    }

    @Test func hopByHopFieldsAreRemoved() throws {
        let request = try self.builder.sent(
            "GET", "/",
            [
                ("Connection", "keep-alive, X-Private , x-other"), ("Keep-Alive", "timeout=5"),
                ("Proxy-Connection", "close"),
                ("X-Private", "1"), ("X-OTHER", "2"), ("X-Kept", "3"), ("TE", "gzip"), ("HTTP2-Settings", "AAMAAABk"),
                ("Proxy-Authorization", "Basic eA=="), ("Trailer", "X-Sum"), ("Authorization", "Basic eA=="),
            ])
        for name in [
            "connection", "keep-alive", "proxy-connection", "x-private", "x-other", "te", "http2-settings",
            "proxy-authorization", "trailer", "upgrade",
        ] {
            #expect(request[name].isEmpty, "\(name)")
        }
        #expect(request["x-kept"] == ["3"])
        #expect(request["authorization"] == ["Basic eA=="])
    }

    @Test func trailersAreAccepted() throws {
        let request = try self.builder.sent(
            "POST", "/",
            [("TE", "trailers, deflate;q=0.5"), ("Transfer-Encoding", "Chunked"), ("Trailer", "X-Sum")])
        #expect(request.body == .chunked)
        #expect(request["te"] == ["trailers"])
        #expect(request["connection"] == ["TE"])
        #expect(request["trailer"] == ["X-Sum"])
        #expect(request["transfer-encoding"] == ["chunked"])
    }

    @Test func persistence() throws {
        #expect(try self.builder.sent().clientPersists)
        #expect(try !self.builder.sent("GET", "/", [("Connection", "Close")]).clientPersists)
        #expect(try !self.builder.sent("GET", "/", version: "1.0").clientPersists)
        #expect(try self.builder.sent("GET", "/", version: "1.0", [("Connection", "Keep-Alive")]).clientPersists)
        #expect(
            try !self.builder.sent("GET", "/", version: "1.0", [("Connection", "keep-alive, close")])
                .clientPersists)
    }

    /// Any token is one, and the origin gets it as it came.
    @Test func methods() throws {
        for method in ["PROPFIND", "M-SEARCH", "get", "x!#$%&'*+.^_`|~-"] {
            let request = try self.builder.sent(method, "/")
            #expect(request.method == method && request.request.methodText == method)
        }
    }

    /// Bytes above 0x7F are the origin's business alone.
    @Test func bytesPassUnchanged() throws {
        var bytes = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: www.example.test\r\nX-Caf")
        bytes.writeBytes("e: caf".utf8)
        bytes.writeBytes([0xE9, 0x20, 0xFF, 0x80])
        bytes.writeString("\r\nCookie: a=")
        bytes.writeBytes([0xC3, 0x28])
        bytes.writeString("\r\n\r\n")
        guard case .accepted(let request) = self.builder.judge(bytes) else { throw NotForwarded() }
        let sent = try request.sent()
        let values = sent.head.fields.filter { $0.known == nil || $0.known == .cookie }.map {
            sent.head.fields.copy($0.value)
        }
        #expect(values == [Array("caf".utf8) + [0xE9, 0x20, 0xFF, 0x80], Array("a=".utf8) + [0xC3, 0x28]])
    }

    @Test(arguments: [
        [("Content-Length", "3"), ("Transfer-Encoding", "chunked")],
        [("Content-Length", "3"), ("Content-Length", "4")],
        [("Content-Length", "3"), ("Content-Length", "3")], [("Content-Length", "3, 3")], [("Content-Length", "-1")],
        [("Transfer-Encoding", "gzip")], [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "chunked, chunked")], [("Transfer-Encoding", "chunked;x=1")], [("Bad Name", "x")],
        [("X", "a\u{0}b")],
    ])
    func whatTheReaderRefusesIsNotJudged(fields: [(String, String)]) {
        #expect(self.builder.fault("POST", "/", fields) != nil)
    }

    /// RFC 9110 §8.6: no content is no content, whether the client says so or not.
    @Test func noContent() throws {
        for method in ["GET", "HEAD", "TRACE"] {
            let request = try self.builder.sent(method, "/", [("Content-Length", "0")])
            #expect(request.body == .none && request["content-length"].isEmpty, "\(method)")
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            let request = try self.builder.sent(method, "/", [("Content-Length", "0")])
            #expect(request.body == .length(0) && request["content-length"] == ["0"], "\(method)")
            #expect(!request.request.hasContent)
        }
        #expect(try self.builder.sent("GET", "/", [("Content-Length", "007")]).body == .length(7))
        #expect(try self.builder.sent("GET", "/", [("Content-Length", "007")])["content-length"] == ["7"])
        #expect(try self.builder.accepted("GET", "/", [("Transfer-Encoding", "chunked")]).hasContent)
    }

    @Test func idempotentMethods() throws {
        for (method, isIdempotent) in [
            ("GET", true), ("PUT", true), ("DELETE", true), ("PROPFIND", true), ("MKCOL", true), ("POST", false),
            ("PATCH", false), ("LOCK", false), ("propfind", false), ("X-OWN", false),
        ] {
            #expect(try self.builder.accepted(method, "/").isIdempotent == isIdempotent, "\(method)")
        }
    }

    /// What `Vary` may select by, without a head for the origin.
    @Test func selectors() throws {
        let fields = [
            ("Accept", "a"), ("accept", "b"), ("X-Own", "1"), ("Connection", "X-Own, X-Hop"), ("X-Hop", "2"),
            ("X-Kept", "3"), ("Forwarded", "for=10.0.0.1"), ("X-Real-IP", "10.0.0.1"), ("Via", "1.0 fred"),
            ("Keep-Alive", "5"), ("X_Forwarded_For", "10.0.0.1"),
        ]
        for builder in [self.builder, try RequestBuilder(claims: .append)] {
            let request = try builder.accepted("GET", "/", fields)
            let sent = try request.sent()
            for name in [
                "accept", "x-own", "x-hop", "x-kept", "forwarded", "x-real-ip", "x-forwarded-for", "x-forwarded-host",
                "x-forwarded-proto", "via", "host", "keep-alive", "x_forwarded_for", "cookie",
            ] {
                #expect(try request.selectorLines(name) == sent[name], "\(name)")
            }
        }
    }

    /// The cache's own conditions in the place of the client's.
    @Test func edits() throws {
        let request = try self.builder.accepted(
            "HEAD", "/", [("If-None-Match", "\"a\""), ("X-Secret", "1"), ("Accept", "*/*")])
        var edits = OriginRequestEdits()
        edits.method = .get
        edits.removed = KnownFieldSet(.ifNoneMatch)
        edits.removedNames = [try #require(FieldName("x-secret"))]
        edits.added = try FieldSection([("If-None-Match", "\"b\""), ("Accept-Encoding", "gzip")])
        let sent = try request.sent(edits: edits)
        #expect(sent.method == "GET" && sent["if-none-match"] == ["\"b\""] && sent["x-secret"].isEmpty)
        #expect(sent["accept-encoding"] == ["gzip"] && sent["accept"] == ["*/*"])
    }

    @Test func oldVersionHasNoCoding() {
        #expect(
            self.builder.fault("POST", "/", version: "1.0", [("Transfer-Encoding", "chunked")]) == .codingInHTTP10)
    }

    @Test func maxForwards() throws {
        #expect(
            try self.builder.sent("OPTIONS", "/", [("Max-Forwards", "3")])["max-forwards"] == ["2"])
        #expect(try self.builder.sent("TRACE", "/", [("Max-Forwards", "1")])["max-forwards"] == ["0"])
        #expect(try self.builder.sent("GET", "/", [("Max-Forwards", "0")])["max-forwards"].isEmpty)
        #expect(self.builder.refusal("TRACE", "/", [("Max-Forwards", "0")]) == .traceNotAnswered)
        #expect(self.builder.refusal("OPTIONS", "/", [("Max-Forwards", "-1")]) == .badMaxForwards)
        #expect(self.builder.refusal("TRACE", "/", [("Content-Length", "1")]) == .traceWithBody)
        guard case .answered = self.builder.judge("OPTIONS", "*", [("Max-Forwards", "0")]) else {
            Issue.record("OPTIONS with Max-Forwards: 0 was not answered here")
            return
        }
    }

    @Test func expectations() throws {
        let request = try self.builder.sent("PUT", "/", [("Expect", "100-Continue"), ("Content-Length", "5")])
        #expect(request.expectsContinue)
        #expect(request["expect"] == ["100-continue"])
        #expect(try !self.builder.sent("GET", "/", [("Expect", "100-continue")]).expectsContinue)
        #expect(
            try !self.builder.sent(
                "PUT", "/", version: "1.0", [("Expect", "100-continue"), ("Content-Length", "5")]
            )
            .expectsContinue)
        #expect(self.builder.refusal("PUT", "/", [("Expect", "tea")]) == .unknownExpectation)
        #expect(
            self.builder.refusal("PUT", "/", [("Expect", "100-continue"), ("Expect", "tea")]) == .unknownExpectation)
    }

    @Test func upgrades() throws {
        let request = try self.builder.sent(
            "GET", "/",
            [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket, h2c"), ("Sec-WebSocket-Key", "x")])
        #expect(request.upgrades)
        #expect(request["connection"] == ["Upgrade"])
        #expect(request["upgrade"] == ["websocket"])
        #expect(request["sec-websocket-key"] == ["x"])
        let ignored: [[(String, String)]] = [
            [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x")],
            [("Upgrade", "websocket")], [("Connection", "Upgrade")],
            [("Connection", "Upgrade"), ("Upgrade", "HTTP/2.0, TLS/1.3")],
            [("Connection", "close"), ("Connection", "Upgrade"), ("Upgrade", "websocket")],
            [("Connection", "\"a, b\", Upgrade"), ("Upgrade", "websocket")],
            [("Connection", "keep-alive,\tUpgrade"), ("Upgrade", "websocket")],
        ]
        for fields in ignored {
            let request = try self.builder.sent("GET", "/", fields)
            #expect(!request.upgrades)
            #expect(request["upgrade"].isEmpty)
            #expect(request["connection"].isEmpty)
            #expect(request["http2-settings"].isEmpty)
        }
        #expect(
            try !self.builder.sent(
                "GET", "/", version: "1.0", [("Connection", "Upgrade"), ("Upgrade", "websocket")]
            )
            .upgrades)
    }

    @Test func refusalsHaveStatusAndText() {
        for refusal in RequestRefusal.allCases {
            #expect((400...599).contains(refusal.status))
            #expect(!refusal.explanation.isEmpty)
        }
        #expect(RequestRefusal.hostNotServed.status == 421)
        #expect(RequestRefusal.loop.status == 508)
        #expect(RequestRefusal.codingNotSupported.status == 501)
        #expect(RequestRefusal.connectNotSupported.status == 501)
        #expect(RequestRefusal.targetTooLong.status == 414)
    }

    @Test("Connection has a bounded number of options, whose names are compared with those of the fields")
    func connectionOptions() throws {
        let builder = try RequestBuilder()
        func refusal(_ count: Int, _ lines: Int = 1) -> String? {
            let options = (0..<count).map { "x\($0)" }
            let size = count / lines
            let values = (0..<lines).map { options[($0 * size)..<(($0 + 1) * size)].joined(separator: ",") }
            return builder.refusal("GET", "/", values.map { ("Connection", $0) })?.rawValue
        }
        #expect(refusal(32) == nil && refusal(32, 4) == nil)
        #expect(refusal(33) == "too-many-connection-options" && refusal(36, 4) == "too-many-connection-options")
        func refusal(length: Int) -> String? {
            builder.refusal("GET", "/", [("Connection", String(repeating: "a", count: length))])?.rawValue
        }
        #expect(refusal(length: 1024) == nil && refusal(length: 1025) == "too-many-connection-options")
        let sent = try builder.sent(
            "GET", "/", [("Connection", "X-One, close, x-two"), ("x-ONE", "1"), ("X-Two", "2"), ("X-Three", "3")])
        #expect(sent["X-One"].isEmpty && sent["X-Two"].isEmpty && sent["X-Three"] == ["3"])
    }
}
