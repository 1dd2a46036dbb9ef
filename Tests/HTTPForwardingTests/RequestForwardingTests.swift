import HTTPForwarding
import NIOHTTP1
import TLSWire
import Testing

@Suite struct RequestForwardingTests {
    let builder: RequestBuilder

    init() throws { self.builder = try RequestBuilder() }

    @Test func plainRequest() throws {
        let request = try self.builder.forwarded(
            .GET, "/a|b?x={1}[2]&e=%zz", [("Accept", "*/*"), ("Cookie", "a=b"), ("Cookie", "c=d")])
        #expect(request.head.uri == "/a|b?x={1}[2]&e=%zz")
        #expect(request.head.headers["accept"] == ["*/*"])
        #expect(request.head.headers["cookie"] == ["a=b", "c=d"])
        #expect(request.head.headers["host"] == ["www.example.test"])
        #expect(request.head.headers["via"] == ["1.1 paris"])
        #expect(request.head.headers["forwarded"] == ["by=_paris;for=192.0.2.7;proto=https;host=www.example.test"])
        #expect(request.head.headers["x-forwarded-for"] == ["192.0.2.7"])
        #expect(request.head.headers["x-forwarded-proto"] == ["https"])
        #expect(request.head.headers["x-forwarded-host"] == ["www.example.test"])
        #expect(request.head.headers["connection"].isEmpty)
        #expect(request.body == .none)
        #expect(request.clientPersists && !request.upgrades && !request.expectsContinue)
    }

    @Test func hopByHopFieldsAreRemoved() throws {
        let request = try self.builder.forwarded(
            .GET, "/",
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
            #expect(!request.head.headers.contains(name: name), "\(name)")
        }
        #expect(request.head.headers["x-kept"] == ["3"])
        #expect(request.head.headers["authorization"] == ["Basic eA=="])
    }

    @Test func trailersAreAccepted() throws {
        let request = try self.builder.forwarded(
            .POST, "/",
            [("TE", "trailers, deflate;q=0.5"), ("Transfer-Encoding", "Chunked"), ("Trailer", "X-Sum")])
        #expect(request.body == .chunked)
        #expect(request.head.headers["te"] == ["trailers"])
        #expect(request.head.headers["connection"] == ["TE"])
        #expect(request.head.headers["trailer"] == ["X-Sum"])
        #expect(request.head.headers["transfer-encoding"] == ["chunked"])
    }

    @Test func persistence() throws {
        #expect(try self.builder.forwarded().clientPersists)
        #expect(try !self.builder.forwarded(.GET, "/", [("Connection", "Close")]).clientPersists)
        #expect(try !self.builder.forwarded(.GET, "/", version: .http1_0).clientPersists)
        #expect(try self.builder.forwarded(.GET, "/", version: .http1_0, [("Connection", "Keep-Alive")]).clientPersists)
        #expect(
            try !self.builder.forwarded(.GET, "/", version: .http1_0, [("Connection", "keep-alive, close")])
                .clientPersists)
    }

    @Test func namesOfOtherSitesUnderAWildcardAreNotServed() throws {
        var builder = self.builder
        builder.policy.namesOfOtherSites = [try ServerName("secret.shop.example.test")]
        builder.serverName = try ServerName("a.shop.example.test")
        for host in ["secret.shop.example.test", "SECRET.shop.example.test:443", "secret.shop.example.test."] {
            #expect(builder.refusal(.GET, "/", host: host) == .hostNotServed, "\(host)")
            #expect(builder.refusal(.GET, "https://\(host)/", host: "a.shop.example.test") == .hostNotServed, "\(host)")
        }
        #expect(try builder.forwarded(.GET, "/", host: "b.shop.example.test").head.uri == "/")
        let target = "https://b.shop.example.test/"
        #expect(try builder.forwarded(.GET, target, host: "secret.shop.example.test").head.uri == "/")
    }

    @Test func hosts() throws {
        // A cache takes all spellings of a host for one: the origin gets only one of them.
        for (host, forwarded) in [
            ("www.example.test", "www.example.test"), ("WWW.Example.TEST", "www.example.test"),
            ("www.example.test:8443", "www.example.test:8443"), ("www.example.test:", "www.example.test"),
            ("www.example.test.", "www.example.test"), ("WWW.example.test.:443", "www.example.test"),
            ("www.example.test.:", "www.example.test"), ("www.example.test:080", "www.example.test:80"),
            ("a.shop.example.test", "a.shop.example.test"), ("A.Shop.example.test:1", "a.shop.example.test:1"),
        ] {
            for request in [
                try self.builder.forwarded(.GET, "/", host: host),
                try self.builder.forwarded(.GET, "https://\(host)/", host: "www.example.test"),
            ] {
                #expect(request.head.headers["host"] == [forwarded])
                #expect(request.head.headers["x-forwarded-host"] == [forwarded])
            }
        }
        for host in ["example.test", "other.test", "a.b.shop.example.test", "192.0.2.1", "[::1]", "[2001:db8::1]:443"] {
            #expect(self.builder.refusal(.GET, "/", host: host) == .hostNotServed, "\(host)")
        }
        for host in [
            "www.example.test:x", "www.example.test:65536", "www.example.test:1:2", "a b", "user@www.example.test",
            "[::1",
            "[]", "www..example.test", ":80", "www.example.test/", "www.example.test,other.test", "[::1]x",
        ] {
            #expect(self.builder.refusal(.GET, "/", host: host) == .badHost, "\(host)")
        }
        #expect(self.builder.refusal(.GET, "/", host: "") == .missingHost)
        #expect(self.builder.refusal(.GET, "/", host: nil) == .missingHost)
        #expect(self.builder.refusal(.GET, "/", [("host", "www.example.test")]) == .severalHosts)
    }

    @Test func oldClientWithoutHostMeansTheNameOfTheConnection() throws {
        let request = try self.builder.forwarded(.GET, "/", version: .http1_0, host: nil)
        #expect(request.head.headers["host"] == ["www.example.test"])
        #expect(request.head.headers["via"] == ["1.0 paris"])
        #expect(request.head.version == .http1_1)
    }

    @Test func forwardedHostWithPortIsQuoted() throws {
        let request = try self.builder.forwarded(.GET, "/", host: "www.example.test:8443")
        #expect(
            request.head.headers["forwarded"] == [
                "by=_paris;for=192.0.2.7;proto=https;host=\"www.example.test:8443\""
            ])
    }

    @Test func ipv6ClientIsBracketedAndQuoted() throws {
        var builder = self.builder
        builder.client = .ipv6("2001:db8::7")
        let request = try builder.forwarded()
        #expect(
            request.head.headers["forwarded"] == [
                "by=_paris;for=\"[2001:db8::7]\";proto=https;host=www.example.test"
            ])
        #expect(request.head.headers["x-forwarded-for"] == ["2001:db8::7"])
        builder.client = .unknown
        #expect(try builder.forwarded().head.headers["x-forwarded-for"] == ["unknown"])
    }

    @Test func clientClaimsAreReplaced() throws {
        let request = try self.builder.forwarded(
            .GET, "/",
            [
                ("Forwarded", "for=10.0.0.1"), ("X-Forwarded-For", "10.0.0.1"), ("x-forwarded-host", "evil.test"),
                ("X_Forwarded_For", "10.0.0.2"), ("X-Forwarded-Port", "1"), ("X-Real-IP", "10.0.0.1"),
                ("X_Real_IP", "x"),
                ("X-Forwarded-Proto", "http"),
            ])
        #expect(request.head.headers["forwarded"].count == 1)
        #expect(request.head.headers["x-forwarded-for"] == ["192.0.2.7"])
        #expect(request.head.headers["x-forwarded-host"] == ["www.example.test"])
        #expect(request.head.headers["x-forwarded-proto"] == ["https"])
        for name in ["x_forwarded_for", "x-forwarded-port", "x-real-ip", "x_real_ip"] {
            #expect(!request.head.headers.contains(name: name))
        }
    }

    @Test func clientClaimsAreExtended() throws {
        let builder = try RequestBuilder(claims: .append)
        let request = try builder.forwarded(
            .GET, "/",
            [
                ("Forwarded", "for=10.0.0.1"), ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2"),
                ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "first.test"),
            ])
        #expect(
            request.head.headers["forwarded"].first
                == "for=10.0.0.1, by=_paris;for=192.0.2.7;proto=https;host=www.example.test")
        #expect(request.head.headers.first(name: "x-forwarded-for") == "10.0.0.1, 10.0.0.2, 192.0.2.7")
        #expect(request.head.headers["x-forwarded-proto"] == ["http"])
        #expect(request.head.headers["x-forwarded-host"] == ["first.test"])
    }

    @Test func connectionCannotRemoveOurFields() throws {
        let request = try self.builder.forwarded(
            .GET, "/", [("Connection", "x-forwarded-for, forwarded, via"), ("X-Forwarded-For", "10.0.0.1")])
        #expect(request.head.headers["x-forwarded-for"] == ["192.0.2.7"])
        #expect(request.head.headers["via"] == ["1.1 paris"])
        for name in ["Host", "content-length", "Transfer-Encoding"] {
            #expect(
                self.builder.refusal(.POST, "/", [("Connection", "close, \(name)"), ("Content-Length", "3")])
                    == .connectionNamesVitalField)
        }
    }

    @Test func viaIsExtendedAndLoopsAreSeen() throws {
        let request = try self.builder.forwarded(
            .GET, "/", [("Via", "1.0 fred, 1.1 paris.example (paris)"), ("Via", "HTTP/2 x:80 (1.1 paris)")])
        #expect(
            request.head.headers["via"] == [
                "1.0 fred, 1.1 paris.example (paris)", "HTTP/2 x:80 (1.1 paris)", "1.1 paris",
            ])
        for via in ["1.1 paris", "1.0 fred, HTTP/1.1 PARIS (x)", "1.1 a (comment, with 1.1 b), 2 paris", "1.1\tparis"] {
            #expect(self.builder.refusal(.GET, "/", [("Via", via)]) == .loop, "\(via)")
        }
    }

    @Test func absoluteTargets() throws {
        var request = try self.builder.forwarded(
            .GET, "https://a.shop.example.test/p?q", host: "www.example.test")
        #expect(request.head.uri == "/p?q")
        #expect(request.head.headers["host"] == ["a.shop.example.test"])
        request = try self.builder.forwarded(.GET, "HTTPS://www.example.test:8443?q")
        #expect(request.head.uri == "/?q")
        #expect(request.head.headers["host"] == ["www.example.test:8443"])
        request = try self.builder.forwarded(.GET, "https://www.example.test")
        #expect(request.head.uri == "/")
        request = try self.builder.forwarded(.OPTIONS, "https://www.example.test")
        #expect(request.head.uri == "*")
        #expect(self.builder.refusal(.GET, "https://other.test/") == .hostNotServed)
        #expect(self.builder.refusal(.GET, "http://www.example.test/") == .schemeNotServed)
        #expect(self.builder.refusal(.GET, "https://user@www.example.test/") == .badHost)
        #expect(self.builder.refusal(.GET, "https:///x") == .missingHost)
        #expect(self.builder.refusal(.GET, "https://www.example.test/", host: nil) == .missingHost)
        #expect(self.builder.refusal(.GET, "https://www.example.test/", host: "a b") == .badHost)
    }

    @Test func otherTargets() throws {
        #expect(try self.builder.forwarded(.OPTIONS, "*").head.uri == "*")
        #expect(try self.builder.forwarded(.GET, "//two//slashes").head.uri == "//two//slashes")
        #expect(self.builder.refusal(.GET, "*") == .asteriskNotOptions)
        #expect(self.builder.refusal(.CONNECT, "www.example.test:443") == .connectNotSupported)
        for uri in [
            "", "relative", "/a b", "/a\u{0}b", "/a\r\nb", "/a#f", "mailto:x", "://x", "/\u{7F}", "/\u{212A}ey",
            "/\u{37E}",
        ] {
            #expect(self.builder.refusal(.GET, uri) == .badTarget, "\(uri)")
        }
        #expect(self.builder.refusal(.GET, "/" + String(repeating: "a", count: 16384)) == .targetTooLong)
    }

    @Test(arguments: [
        ([("Content-Length", "3"), ("Transfer-Encoding", "chunked")], RequestRefusal.lengthAndCoding),
        ([("Transfer-Encoding", "chunked"), ("Content-Length", "0")], .lengthAndCoding),
        ([("Transfer-Encoding", "x"), ("Content-Length", "z")], .lengthAndCoding),
        ([("Content-Length", "3"), ("Content-Length", "4")], .differingLengths),
        ([("Content-Length", "3, 4")], .differingLengths),
        ([("Content-Length", "-1")], .badLength), ([("Content-Length", "+1")], .badLength),
        ([("Content-Length", "0x10")], .badLength), ([("Content-Length", "1 2")], .badLength),
        ([("Content-Length", "")], .badLength), ([("Content-Length", ",")], .badLength),
        ([("Content-Length", "9223372036854775808")], .badLength),
        ([("Content-Length", "99999999999999999999999")], .badLength),
        ([("Transfer-Encoding", "gzip")], .codingNotSupported),
        ([("Transfer-Encoding", "gzip, chunked")], .codingNotSupported),
        ([("Transfer-Encoding", "identity")], .codingNotSupported),
        ([("Transfer-Encoding", "")], .codingNotSupported),
        ([("Transfer-Encoding", "chunked, gzip")], .chunkedNotLast),
        ([("Transfer-Encoding", "chunked, chunked")], .chunkedNotLast),
        ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], .chunkedNotLast),
        ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")], .chunkedNotLast),
        ([("Transfer-Encoding", "chunked;x=1")], .codingNotSupported),
        ([("Transfer-Encoding", "\u{0B}chunked")], .badFieldValue),
        ([("Bad Name", "x")], .badFieldName), ([("", "x")], .badFieldName), ([("X:", "x")], .badFieldName),
        ([("Transfer-Encoding ", "chunked")], .badFieldName), ([("X\u{E9}", "x")], .badFieldName),
        ([("X", "a\rb")], .badFieldValue), ([("X", "a\nb")], .badFieldValue), ([("X", "a\u{0}b")], .badFieldValue),
        ([("X", "a\r\n b")], .badFieldValue), ([("X", "\u{7F}")], .badFieldValue),
    ])
    func smuggling(fields: [(String, String)], refusal: RequestRefusal) {
        #expect(self.builder.refusal(.POST, "/", fields) == refusal)
    }

    @Test func equalLengthsAreOne() throws {
        let request = try self.builder.forwarded(.POST, "/", [("Content-Length", "3, 3"), ("content-length", "3")])
        #expect(request.body == .length(3))
        #expect(request.head.headers["content-length"] == ["3"])
        #expect(try self.builder.forwarded(.POST, "/", [("Content-Length", "0")]).body == .length(0))
        #expect(try self.builder.forwarded(.GET, "/", [("Content-Length", "007")]).body == .length(7))
    }

    @Test func oldVersionHasNoCoding() {
        #expect(
            self.builder.refusal(.POST, "/", version: .http1_0, [("Transfer-Encoding", "chunked")]) == .codingInHTTP10)
    }

    @Test func maxForwards() throws {
        #expect(
            try self.builder.forwarded(.OPTIONS, "/", [("Max-Forwards", "3")]).head.headers["max-forwards"] == ["2"])
        #expect(try self.builder.forwarded(.TRACE, "/", [("Max-Forwards", "1")]).head.headers["max-forwards"] == ["0"])
        #expect(try self.builder.forwarded(.GET, "/", [("Max-Forwards", "0")]).head.headers["max-forwards"].isEmpty)
        #expect(self.builder.refusal(.TRACE, "/", [("Max-Forwards", "0")]) == .traceNotAnswered)
        #expect(self.builder.refusal(.OPTIONS, "/", [("Max-Forwards", "-1")]) == .badMaxForwards)
        #expect(self.builder.refusal(.TRACE, "/", [("Content-Length", "1")]) == .traceWithBody)
        guard case .answerOptions = self.builder.decide(.OPTIONS, "*", [("Max-Forwards", "0")]) else {
            Issue.record("OPTIONS with Max-Forwards: 0 was not answered here")
            return
        }
    }

    @Test func expectations() throws {
        let request = try self.builder.forwarded(.PUT, "/", [("Expect", "100-Continue"), ("Content-Length", "5")])
        #expect(request.expectsContinue)
        #expect(request.head.headers["expect"] == ["100-continue"])
        #expect(try !self.builder.forwarded(.GET, "/", [("Expect", "100-continue")]).expectsContinue)
        #expect(
            try !self.builder.forwarded(
                .PUT, "/", version: .http1_0, [("Expect", "100-continue"), ("Content-Length", "5")]
            )
            .expectsContinue)
        #expect(self.builder.refusal(.PUT, "/", [("Expect", "tea")]) == .unknownExpectation)
        #expect(
            self.builder.refusal(.PUT, "/", [("Expect", "100-continue"), ("Expect", "tea")]) == .unknownExpectation)
    }

    @Test func upgrades() throws {
        let request = try self.builder.forwarded(
            .GET, "/",
            [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket, h2c"), ("Sec-WebSocket-Key", "x")])
        #expect(request.upgrades)
        #expect(request.head.headers["connection"] == ["Upgrade"])
        #expect(request.head.headers["upgrade"] == ["websocket"])
        #expect(request.head.headers["sec-websocket-key"] == ["x"])
        let ignored: [[(String, String)]] = [
            [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x")],
            [("Upgrade", "websocket")], [("Connection", "Upgrade")],
            [("Connection", "Upgrade"), ("Upgrade", "HTTP/2.0, TLS/1.3")],
            [("Connection", "close"), ("Connection", "Upgrade"), ("Upgrade", "websocket")],
            [("Connection", "\"a, b\", Upgrade"), ("Upgrade", "websocket")],
            [("Connection", "keep-alive,\tUpgrade"), ("Upgrade", "websocket")],
        ]
        for fields in ignored {
            let request = try self.builder.forwarded(.GET, "/", fields)
            #expect(!request.upgrades)
            #expect(!request.head.headers.contains(name: "upgrade"))
            #expect(!request.head.headers.contains(name: "connection"))
            #expect(!request.head.headers.contains(name: "http2-settings"))
        }
        #expect(
            try !self.builder.forwarded(
                .GET, "/", version: .http1_0, [("Connection", "Upgrade"), ("Upgrade", "websocket")]
            )
            .upgrades)
    }

    @Test func refusalsHaveStatusAndText() {
        for refusal in RequestRefusal.allCases {
            #expect((400...599).contains(refusal.status.code))
            #expect(!refusal.explanation.isEmpty)
        }
        #expect(RequestRefusal.hostNotServed.status.code == 421)
        #expect(RequestRefusal.loop.status.code == 508)
        #expect(RequestRefusal.codingNotSupported.status.code == 501)
        #expect(RequestRefusal.connectNotSupported.status.code == 501)
        #expect(RequestRefusal.targetTooLong.status.code == 414)
    }
}
