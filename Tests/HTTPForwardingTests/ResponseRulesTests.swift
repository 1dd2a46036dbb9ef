import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import Testing

/// An origin's response, as bytes.
struct ResponseBuilder {
    var status: Int
    var reason = "As It Came"
    var fields: [(String, String)]
    var version = "1.1"
    var rules = ResponseRules(pseudonym: "paris")

    init(status: Int, _ fields: [(String, String)] = []) {
        self.status = status
        self.fields = fields
    }

    func head() throws -> ResponseHead {
        var text = "HTTP/\(self.version) \(self.status) \(self.reason)\r\n"
        for (name, value) in self.fields { text += "\(name): \(value)\r\n" }
        var bytes = ByteBuffer(string: text + "\r\n")
        var parser = ResponseHeadParser()
        return try #require(try parser.parse(&bytes))
    }

    func judge(to request: CheckedRequest, closing: Bool = false) throws -> CheckedResponse {
        let head = try self.head()
        return try self.rules.judge(head, framing: head.framing(to: request.method), to: request, closing: closing)
    }
}

extension OutgoingHead {
    /// Written as HTTP/1.1, and read again.
    func written() throws -> ResponseHead {
        var bytes = ByteBuffer()
        self.write(to: &bytes)
        var parser = ResponseHeadParser()
        let head = try #require(try parser.parse(&bytes))
        #expect(bytes.readableBytes == 0)
        return head
    }
}

@Suite struct ResponseRulesTests {
    let builder: RequestBuilder

    init() throws { self.builder = try RequestBuilder() }

    private func judge(
        _ status: Int, _ fields: [(String, String)] = [], method: String = "GET", clientVersion: String = "1.1",
        originVersion: String = "1.1", requestFields: [(String, String)] = [], closing: Bool = false
    ) throws -> (CheckedResponse, FieldSection) {
        let request = try self.builder.accepted(method, "/", version: clientVersion, requestFields)
        var origin = ResponseBuilder(status: status, fields)
        origin.version = originVersion
        let response = try origin.judge(to: request, closing: closing)
        return (response, try response.head.written().fields)
    }

    @Test func hopByHopFieldsAreRemoved() throws {
        let (response, fields) = try self.judge(
            200,
            [
                ("Connection", "keep-alive, X-Private, Age"), ("Keep-Alive", "timeout=5"), ("X-Private", "1"),
                ("Age", "3"), ("Server", "o"), ("Content-Length", "5"), ("Proxy-Authenticate", "Basic"),
                ("Upgrade", "h2c"), ("Via", "1.1 inner"), ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Trailer", "X"),
            ])
        for name in [
            "connection", "keep-alive", "x-private", "age", "proxy-authenticate", "upgrade", "trailer", "date",
        ] {
            #expect(fields.values(name).isEmpty, "\(name)")
        }
        #expect(fields.values("via") == ["1.1 inner", "1.1 paris"])
        #expect(fields.values("set-cookie") == ["a", "b"])
        #expect(fields.values("server") == ["o"])
        #expect(response.originBody == .length(5) && response.clientBody == .length(5))
        #expect(response.originPersists && response.clientPersists)
    }

    @Test func reasonAndBytesPassUnchanged() throws {
        var bytes = ByteBuffer(string: "HTTP/1.1 299 Sch")
        bytes.writeBytes([0xF6])
        bytes.writeString("n\r\nX-Name: caf")
        bytes.writeBytes([0xE9, 0xFF])
        bytes.writeString("\r\nContent-Length: 0\r\n\r\n")
        var parser = ResponseHeadParser()
        let head = try #require(try parser.parse(&bytes))
        let response = try ResponseRules(pseudonym: "paris").judge(
            head, framing: .length(0), to: try self.builder.accepted(), closing: false)
        let written = try response.head.written()
        #expect(written.status == 299)
        #expect(written.fields.copy(written.reasonRange) == Array("Sch".utf8) + [0xF6] + Array("n".utf8))
        let field = try #require(written.fields.first(named: "x-name"))
        #expect(written.fields.copy(field.value) == Array("caf".utf8) + [0xE9, 0xFF])
    }

    @Test func framing() throws {
        var (response, fields) = try self.judge(200, [("Transfer-Encoding", "chunked"), ("Trailer", "X")])
        #expect(response.clientBody == .chunked)
        #expect(fields.values("transfer-encoding") == ["chunked"])
        #expect(fields.values("trailer") == ["X"])

        (response, fields) = try self.judge(200, [])
        #expect(response.originBody == .untilClose && response.clientBody == .chunked)
        #expect(!response.originPersists && response.clientPersists)

        (response, fields) = try self.judge(
            200, [("Transfer-Encoding", "chunked")], clientVersion: "1.0",
            requestFields: [("Connection", "keep-alive")])
        #expect(response.clientBody == .untilClose && !response.clientPersists && response.originPersists)
        #expect(fields.values("transfer-encoding").isEmpty)
        #expect(fields.values("connection") == ["close"])

        (response, fields) = try self.judge(
            200, [("Content-Length", "2")], clientVersion: "1.0", requestFields: [("Connection", "keep-alive")])
        #expect(response.clientPersists && fields.values("connection") == ["keep-alive"])

        (response, fields) = try self.judge(200, [("Content-Length", "2")], originVersion: "1.0")
        #expect(!response.originPersists && response.clientPersists)
        #expect(fields.values("via").contains("1.0 paris"))

        (response, fields) = try self.judge(200, [("Content-Length", "2")], closing: true)
        #expect(!response.clientPersists && fields.values("connection") == ["close"])
    }

    @Test func noBody() throws {
        var (response, fields) = try self.judge(200, [("Content-Length", "5")], method: "HEAD")
        #expect(response.originBody == .none && response.clientBody == .none)
        #expect(fields.values("content-length") == ["5"])

        (response, fields) = try self.judge(200, [("Transfer-Encoding", "chunked")], method: "HEAD")
        #expect(response.clientBody == .none && fields.values("transfer-encoding").isEmpty)
        #expect(response.originPersists && response.clientPersists)

        (response, fields) = try self.judge(304, [("Content-Length", "5"), ("ETag", "\"x\"")])
        #expect(response.clientBody == .none && fields.values("content-length") == ["5"])
        #expect(fields.values("etag") == ["\"x\""])

        (response, fields) = try self.judge(204, [("Content-Length", "0"), ("Transfer-Encoding", "chunked")])
        #expect(response.clientBody == .none && fields.values("content-length").isEmpty)
        #expect(fields.values("transfer-encoding").isEmpty)
    }

    private func refusal(_ status: Int, _ fields: [(String, String)] = []) throws -> ResponseRefusal? {
        do {
            _ = try self.judge(status, fields)
            return nil
        } catch let refusal as ResponseRefusal {
            return refusal
        }
    }

    @Test func badResponses() throws {
        for name in ["content-length", "Host", "transfer-encoding"] {
            #expect(
                try self.refusal(200, [("Connection", name), ("Content-Length", "3")]) == .connectionNamesVitalField)
        }
        for status in [100, 103, 199] { #expect(try self.refusal(status) == .badStatus, "\(status)") }
        #expect(try self.refusal(101) == .upgradeNotRequested)
    }

    @Test func upgrade() throws {
        let asked = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        var (response, fields) = try self.judge(
            101, [("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")],
            requestFields: asked)
        #expect(fields.values("connection") == ["Upgrade"])
        #expect(fields.values("upgrade") == ["websocket"])
        #expect(fields.values("sec-websocket-accept") == ["x"])
        #expect(response.clientBody == .none && !response.originPersists)

        for wrong in [[("Connection", "upgrade")], [("Upgrade", "websocket")]] {
            #expect(throws: ResponseRefusal.badStatus) { try self.judge(101, wrong, requestFields: asked) }
        }

        // What the client sends behind the request is read as HTTP only now that it is known to be that.
        (response, fields) = try self.judge(200, [("Content-Length", "1")], requestFields: asked)
        #expect(response.clientPersists && response.originPersists)

        (response, fields) = try self.judge(426, [("Upgrade", "websocket"), ("Content-Length", "0")])
        #expect(fields.values("upgrade") == ["websocket"])
        #expect(fields.values("connection") == ["Upgrade"])
    }

    @Test func informational() throws {
        let rules = ResponseRules(pseudonym: "paris")
        let hints = try ResponseBuilder(
            status: 103, [("Link", "</a>; rel=preload"), ("Connection", "close, X-Own"), ("X-Own", "1")]
        ).head()
        let forwarded = try #require(rules.informational(hints, to: try self.builder.accepted())).written()
        #expect(forwarded.status == 103 && forwarded.fields.values("link").count == 1)
        #expect(forwarded.fields.count == 1)
        #expect(rules.informational(hints, to: try self.builder.accepted("GET", "/", version: "1.0")) == nil)
        let goOn = try ResponseBuilder(status: 100).head()
        #expect(rules.informational(goOn, to: try self.builder.accepted()) == nil)
        let waiting = try self.builder.accepted("PUT", "/", [("Expect", "100-continue"), ("Content-Length", "3")])
        #expect(rules.informational(goOn, to: waiting)?.status == 100)
    }

    @Test func trailers() throws {
        #expect(TrailerFields.forwarded(nil) == nil)
        let none = try FieldSection([
            ("Content-Length", "5"), ("Host", "x"), ("Set-Cookie", "x"), ("X-Forwarded-For", "x"), ("X_Real_IP", "x"),
        ])
        #expect(TrailerFields.forwarded(none) == nil)
        let kept = try #require(
            TrailerFields.forwarded(
                try FieldSection([("X-Sum", "1"), ("Transfer-Encoding", "chunked"), ("ETag", "2")])))
        #expect(kept.map { kept.text($0.name) } == ["X-Sum", "ETag"])
    }
}

@Suite struct OutgoingHeadTests {
    @Test func linesGoOutInOnePiece() throws {
        var head = OutgoingHead(
            status: 200, fields: try FieldSection([("ETag", "\"a\""), ("X-Own", "1")]), framing: .length(3))
        head.added.add(.age, .number(7))
        head.added.add(.cacheStatus, .text("paris; hit"))
        head.added.add(.contentRange, .constant("bytes 0-2/9"))
        head.siteFields = try FieldSection([("X-Site", "s")])
        var bytes = ByteBuffer()
        head.write(to: &bytes)
        #expect(
            String(buffer: bytes) == """
                HTTP/1.1 200 OK\r
                ETag: "a"\r
                X-Own: 1\r
                Age: 7\r
                Cache-Status: paris; hit\r
                Content-Range: bytes 0-2/9\r
                X-Site: s\r
                Content-Length: 3\r
                \r

                """)
    }

    @Test func encodedHeadsGoOutAsTheyAre() throws {
        var encoded = try EncodedHead(status: 404, reason: "Not Here".utf8)
        try encoded.add(.etag, "\"a\"".utf8)
        encoded.add(.lastModified, 1)
        var head = OutgoingHead(encoded, framing: .none, connection: .close)
        head.announcedLength = 9
        var written = try head.written()
        #expect(written.status == 404 && written.fields.text(written.reasonRange) == "Not Here")
        #expect(
            written.fields.map { written.fields.text($0.name) } == [
                "ETag", "Last-Modified", "Connection", "Content-Length",
            ])
        head.remove(FieldName(.etag))
        written = try head.written()
        #expect(written.status == 404 && !written.fields.contains(.etag) && written.fields.contains(.lastModified))
    }

    /// Whatever is added, no value begins a line of its own.
    @Test func controlsBecomeSpaces() throws {
        var head = OutgoingHead(status: 200, framing: .none)
        head.added.add(.cacheStatus, .text("a\r\nX-Evil: 1"))
        head.added.add(.via, .bytes(ByteBuffer(string: "b\nc")))
        let written = try head.written()
        #expect(written.fields.count == 2 && written.fields.values("cache-status") == ["a  X-Evil: 1"])
    }

    /// What is added is the same text in HTTP/1.1 and for HTTP/2, whatever kind of value it is.
    @Test(arguments: [0, 7, 10, -1, -40, Int64.max, .min]) func numbersAreTheSameInBothVersions(number: Int64) throws {
        var head = OutgoingHead(status: 200, framing: .none)
        head.announcedLength = number.magnitude > .max / 2 ? .max : abs(number)
        head.added.add(.age, .number(number))
        head.added.add(.cacheStatus, .numbered("e; hit; ttl=", number))
        head.added.add(.via, .numbered("a\u{1}b\tc", number))
        head.added.add(.server, .text(""))
        let written = try head.written().fields
        #expect(
            written.map { written.text($0.value) } == [
                "\(number)", "e; hit; ttl=\(number)", "a b c\(number)", "", "\(head.contentLength ?? -1)",
            ])
        var fields: [String] = []
        head.forEachField { fields.append(String(decoding: $1, as: UTF8.self)) }
        #expect(fields == written.map { written.text($0.value) })
    }

    @Test func fieldsForHTTP2AreTheSame() throws {
        let response = try ResponseBuilder(
            status: 200, [("ETag", "\"a\""), ("Connection", "X-Own"), ("X-Own", "1"), ("Content-Length", "2")]
        ).judge(to: try RequestBuilder().accepted())
        var fields: [String] = []
        response.head.forEachField {
            fields.append("\(String(decoding: $0, as: UTF8.self)): \(String(decoding: $1, as: UTF8.self))")
        }
        #expect(fields == ["ETag: \"a\"", "Via: 1.1 paris", "Content-Length: 2"])
        let stored = response.head.endToEndFields()
        #expect(stored.isLines && stored.map { stored.text($0.name) } == ["ETag", "Via"])
    }

    @Test func fieldsAsTheyCameSayTheSameOnlyWhereConnectionNamesNone() throws {
        func omitsOnlyHopFields(_ fields: [(String, String)]) throws -> Bool {
            try ResponseBuilder(status: 200, fields).judge(to: try RequestBuilder().accepted()).head.omitsOnlyHopFields
        }
        #expect(try omitsOnlyHopFields([("ETag", "\"a\""), ("Content-Length", "2")]))
        #expect(try omitsOnlyHopFields([("Connection", "keep-alive, close"), ("Keep-Alive", "timeout=5")]))
        #expect(try omitsOnlyHopFields([("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"), ("Via", "1.1 x")]))
        // They are not the client's business, nor the cache's.
        #expect(try !omitsOnlyHopFields([("Connection", "Cache-Control"), ("Cache-Control", "private")]))
        #expect(try !omitsOnlyHopFields([("Connection", "CDN-Cache-Control"), ("CDN-Cache-Control", "private")]))
        var removed = OutgoingHead(status: 200, fields: try self.section(of: [("Set-Cookie", "a")]), framing: .none)
        #expect(removed.omitsOnlyHopFields)
        removed.remove(FieldName(.setCookie))
        #expect(!removed.omitsOnlyHopFields)
    }

    private func section(of fields: [(String, String)]) throws -> FieldSection {
        try ResponseBuilder(status: 200, fields).head().fields
    }
}
