import HTTP2Wire
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import TLSWire
import Testing

@Suite struct HTTP2RequestTests {
    private static let plain = [
        (":method", "GET"), (":scheme", "https"), (":path", "/a?b=c"), (":authority", "www.example.test"),
    ]

    private func decide(
        _ block: [(String, String)], endsStream: Bool = true, claims: ForwardingPolicy.ClientClaims = .replace
    ) throws -> HTTP2Verdict {
        try RequestBuilder(claims: claims).rules.judge(try Self.section(block), endsStream: endsStream)
    }

    /// As a client sends it, in literals: an encoder would mend what is wrong with names.
    private static func section(_ fields: [(String, String)]) throws -> FieldBlock {
        var block = ByteBuffer()
        for (name, value) in fields {
            block.writeInteger(0x00 as UInt8)
            for text in [name, value] {
                var length = text.utf8.count
                if length >= 127 {
                    block.writeInteger(127 as UInt8)
                    length -= 127
                    while length >= 128 {
                        block.writeInteger(UInt8(length & 0x7F) | 0x80)
                        length >>= 7
                    }
                }
                block.writeInteger(UInt8(length))
                block.writeString(text)
            }
        }
        var decoder = FieldBlockDecoder(limits: FieldBlockLimits(sectionBytes: 65_536, fields: 128))
        return try decoder.decode(block)
    }

    private func forwarded(_ block: [(String, String)], endsStream: Bool = true) throws -> OriginHead {
        let decision = try self.decide(block, endsStream: endsStream)
        guard case .judged(.accept(let request)) = decision else {
            Issue.record("not forwarded: \(decision)")
            throw NotForwarded()
        }
        return try request.sent()
    }

    private func malformation(_ block: [(String, String)], endsStream: Bool = true) throws -> HTTP2Malformation? {
        guard case .malformed(let why) = try self.decide(block, endsStream: endsStream) else { return nil }
        return why
    }

    private func refusal(_ block: [(String, String)]) throws -> RequestRefusal? {
        guard case .judged(.refuse(let why)) = try self.decide(block) else { return nil }
        return why
    }

    private static func replacing(_ name: String, _ value: String?) -> [(String, String)] {
        Self.plain.compactMap { field in field.0 == name ? value.map { (name, $0) } : field }
    }

    private static let sameFields: [[(String, String)]] = [
        [("accept", "*/*"), ("user-agent", "x")], [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=1")],
        [("via", "1.1 other")], [("te", "trailers")], [("max-forwards", "7")], [("proxy-authorization", "secret")],
        [("cookie", "a=b; c=d")], [("accept-encoding", "gzip, br"), ("range", "bytes=0-4")],
    ]

    /// The same request over HTTP/1.1 and over HTTP/2 is the same at the origin, but for `Via`.
    @Test(arguments: sameFields)
    func isTheSameRequestAsOverHTTP1(fields: [(String, String)]) throws {
        var viaHTTP1 = fields
        if fields.contains(where: { $0.0 == "te" }) { viaHTTP1.append(("Connection", "TE")) }
        let one = try RequestBuilder().sent("GET", "/a?b=c", viaHTTP1)
        let two = try self.forwarded(Self.plain + fields)
        #expect(one.method == two.method && one.target == two.target && one.body == two.body)
        func normalised(_ head: OriginHead) -> [String] {
            head.head.fields.map { field in
                let value = head.head.fields.text(field.value).replacing("2.0 paris", with: "1.1 paris")
                return "\(head.head.fields.text(field.name).lowercased()): \(value)"
            }
        }
        #expect(normalised(one) == normalised(two))
        #expect(two.request.version == .http2 && !two.upgrades)
        #expect(two["via"].last == "2.0 paris")
    }

    @Test func framesBodies() throws {
        let post = Self.replacing(":method", "POST")
        #expect(try self.forwarded(post).body == .none)
        #expect(try self.forwarded(post + [("content-length", "0")]).body == .length(0))
        let sized = try self.forwarded(post + [("content-length", "12")], endsStream: false)
        #expect(sized.body == .length(12) && sized["content-length"] == ["12"])
        let open = try self.forwarded(post + [("trailer", "x-sum")], endsStream: false)
        #expect(open.body == .chunked && open["transfer-encoding"] == ["chunked"])
        #expect(open["trailer"] == ["x-sum"])
        #expect(try self.malformation(post + [("content-length", "1")]) == .lengthWithoutBody)
        #expect(try self.refusal(post + [("content-length", "x")]) == .badLength)
        #expect(try self.refusal(post + [("content-length", "0"), ("content-length", "0")]) == .severalLengths)
        #expect(try self.malformation(post + [("content-length", "0"), ("content-length", "1")]) == .lengthWithoutBody)
    }

    @Test func joinsCookieCrumbs() throws {
        let request = try self.forwarded(
            Self.plain + [("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2; c=3"), ("cookie", "d=4")])
        #expect(request["cookie"] == ["a=1; b=2; c=3; d=4"])
        #expect(request.head.fields.first(.cookie).map { request.head.fields.text($0.name) } == "Cookie")
    }

    @Test func authorityAndHostHaveToAgree() throws {
        #expect(try self.forwarded(Self.plain)["host"] == ["www.example.test"])
        let withoutAuthority = Self.replacing(":authority", nil)
        #expect(
            try self.forwarded(withoutAuthority + [("host", "www.example.test")])["host"]
                == ["www.example.test"])
        #expect(try self.refusal(withoutAuthority) == .missingHost)
        #expect(try self.refusal(Self.replacing(":authority", "")) == .missingHost)
        #expect(try self.forwarded(Self.plain + [("host", "WWW.example.test")])["host"].count == 1)
        #expect(try self.refusal(Self.plain + [("host", "a.shop.example.test")]) == .authorityDiffersFromHost)
        #expect(try self.refusal(Self.plain + [("host", "www.example.test:444")]) == .authorityDiffersFromHost)
        #expect(try self.refusal(Self.plain + [("host", "")]) == .badHost)
        #expect(
            try self.refusal(Self.plain + [("host", "www.example.test"), ("host", "www.example.test")])
                == .severalHosts)
        #expect(try self.refusal(Self.replacing(":authority", "user@www.example.test")) == .badHost)
    }

    @Test func coalescedConnectionsReachNoOtherSite() throws {
        #expect(try self.refusal(Self.replacing(":authority", "other.example.test")) == .hostNotServed)
        #expect(RequestRefusal.hostNotServed.status == 421)
        #expect(try self.forwarded(Self.replacing(":authority", "a.shop.example.test")).head.fields.count > 0)
        #expect(try self.refusal(Self.replacing(":scheme", "http")) == .schemeNotServed)
    }

    @Test func theHostIsTheSameHoweverItIsSpelled() throws {
        for authority in ["WWW.Example.TEST", "www.example.test:443", "www.example.test:", "www.example.test."] {
            let fields = try self.forwarded(Self.replacing(":authority", authority))
            #expect(fields["host"] == ["www.example.test"] && fields["x-forwarded-host"] == ["www.example.test"])
        }
        let request = try self.forwarded(Self.replacing(":authority", "A.shop.example.test.:08443"))
        #expect(request["host"] == ["a.shop.example.test:8443"])
    }

    @Test func refusesWhatIsNotForwarded() throws {
        #expect(
            try self.refusal([(":method", "CONNECT"), (":authority", "www.example.test:443")]) == .connectNotSupported)
        #expect(try self.refusal(Self.replacing(":path", "*")) == .asteriskNotOptions)
        #expect(try self.refusal(Self.replacing(":path", "https://www.example.test/")) == .badTarget)
        #expect(try self.refusal(Self.replacing(":path", "/a b")) == .badTarget)
        // Equivalent to "/Key.js" and "/a;b" to a comparison of texts by Unicode's rules.
        for path in ["/\u{212A}ey.js", "/a\u{37E}b", "/a?\u{301}", "/\u{80}"] {
            #expect(try self.refusal(Self.replacing(":path", path)) == .badTarget, "\(path)")
        }
        #expect(
            try self.refusal(Self.replacing(":path", "/" + String(repeating: "a", count: 16_384))) == .targetTooLong)
        #expect(try self.refusal(Self.plain + [("expect", "miracles")]) == .unknownExpectation)
        #expect(try self.refusal(Self.plain + [("via", "1.1 paris")]) == .loop)
    }

    struct Malformed: Sendable, CustomTestStringConvertible {
        var why: HTTP2Malformation
        var block: [(String, String)]
        var testDescription: String { "\(self.why) \(self.block)" }

        init(_ why: HTTP2Malformation, _ block: [(String, String)]) {
            self.why = why
            self.block = block
        }

        init(_ why: HTTP2Malformation, field name: String, _ value: String) {
            self.init(why, HTTP2RequestTests.plain + [(name, value)])
        }
    }

    private static let malformed: [Malformed] = [
        Malformed(.missingPseudoField, [(":method", "GET"), (":scheme", "https")]),
        Malformed(.missingPseudoField, [(":method", ""), (":scheme", "https"), (":path", "/")]),
        Malformed(.missingPseudoField, [(":method", "G T"), (":scheme", "https"), (":path", "/")]),
        Malformed(.badPseudoField, field: ":path", "/"),
        Malformed(.badPseudoField, field: ":authority", "x"),
        Malformed(.badPseudoField, field: ":status", "200"),
        Malformed(.badPseudoField, field: ":protocol", "websocket"),
        Malformed(.badPseudoField, [("accept", "*/*")] + plain),
        Malformed(
            .badPseudoField, [(":method", "CONNECT"), (":scheme", "https"), (":path", "/"), (":authority", "a")]),
        Malformed(.badFieldName, field: "Accept", "*/*"),
        Malformed(.badFieldName, field: "", "x"),
        Malformed(.badFieldName, field: "a b", "x"),
        Malformed(.badFieldValue, field: "accept", "a\r\nb: c"),
        Malformed(.badFieldValue, field: "accept", "a\0"),
        Malformed(.badFieldValue, field: "accept", " a"),
        Malformed(.badFieldValue, field: "accept", "a\t"),
        Malformed(.connectionField, field: "connection", "close"),
        Malformed(.connectionField, field: "keep-alive", "1"),
        Malformed(.connectionField, field: "proxy-connection", "close"),
        Malformed(.connectionField, field: "transfer-encoding", "chunked"),
        Malformed(.connectionField, field: "upgrade", "websocket"),
        Malformed(.connectionField, field: "te", "gzip"),
        Malformed(.connectionField, field: "te", "trailers, gzip"),
    ]

    @Test(arguments: malformed)
    func saysWhatIsMalformed(_ given: Malformed) throws {
        #expect(try self.malformation(given.block) == given.why)
    }

    @Test func trailersHaveNoPseudoFields() throws {
        #expect(try Self.section([("x-sum", "1")]).trailerMalformation == nil)
        #expect(try Self.section([(":path", "/")]).trailerMalformation == .pseudoFieldInTrailers)
        #expect(try Self.section([("connection", "x")]).trailerMalformation == .connectionField)
    }

    private static let connectionFields: [[(String, String)]] = [
        [("Content-Length", "5")], [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")],
        [("Connection", "close"), ("Content-Length", "0")],
        [("Connection", "X-Secret"), ("X-Secret", "1"), ("Content-Length", "0")],
    ]

    @Test(arguments: connectionFields)
    func responsesCarryNoConnectionFields(fields: [(String, String)]) throws {
        let request = try self.forwarded(Self.plain).request
        let response = try ResponseBuilder(status: 200, fields).judge(to: request, closing: true)
        var names: [String: String] = [:]
        response.head.forEachField { name, value in
            names[String(decoding: name, as: UTF8.self).lowercased()] = String(decoding: value, as: UTF8.self)
        }
        for name in ["connection", "transfer-encoding", "keep-alive", "upgrade", "x-secret"] {
            #expect(names[name] == nil)
        }
        #expect(names["via"] == "1.1 paris")
        #expect(names["trailer"] == fields.first { $0.0 == "Trailer" }?.1)
        #expect(names["content-length"] == fields.first { $0.0 == "Content-Length" }?.1)
    }
}
