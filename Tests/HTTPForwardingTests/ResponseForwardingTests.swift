import HTTPForwarding
import NIOHTTP1
import Testing

@Suite struct ResponseForwardingTests {
    let builder: RequestBuilder
    let rules = ResponseForwarding(pseudonym: "paris")

    init() throws { self.builder = try RequestBuilder() }

    private func decide(
        _ code: Int, _ fields: [(String, String)] = [], method: HTTPMethod = .GET,
        clientVersion: HTTPVersion = .http1_1,
        originVersion: HTTPVersion = .http1_1, requestFields: [(String, String)] = [], closing: Bool = false
    ) throws -> Result<ForwardedResponse, ResponseRefusal> {
        let request = try self.builder.forwarded(method, "/", version: clientVersion, requestFields)
        return self.rules.decide(
            HTTPResponseHead(
                version: originVersion, status: HTTPResponseStatus(statusCode: code), headers: HTTPHeaders(fields)),
            to: request, closing: closing)
    }

    @Test func hopByHopFieldsAreRemoved() throws {
        let response = try self.decide(
            200,
            [
                ("Connection", "keep-alive, X-Private"), ("Keep-Alive", "timeout=5"), ("X-Private", "1"),
                ("Server", "o"),
                ("Content-Length", "5"), ("Proxy-Authenticate", "Basic"), ("Upgrade", "h2c"), ("Via", "1.1 inner"),
                ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Trailer", "X"),
            ]
        ).get()
        for name in ["connection", "keep-alive", "x-private", "proxy-authenticate", "upgrade", "trailer", "date"] {
            #expect(!response.head.headers.contains(name: name), "\(name)")
        }
        #expect(response.head.headers["via"] == ["1.1 inner", "1.1 paris"])
        #expect(response.head.headers["set-cookie"] == ["a", "b"])
        #expect(response.head.headers["server"] == ["o"])
        #expect(response.originBody == .length(5) && response.clientBody == .length(5))
        #expect(response.originPersists && response.clientPersists)
    }

    @Test func framing() throws {
        var response = try self.decide(200, [("Transfer-Encoding", "chunked"), ("Trailer", "X")]).get()
        #expect(response.clientBody == .chunked)
        #expect(response.head.headers["transfer-encoding"] == ["chunked"])
        #expect(response.head.headers["trailer"] == ["X"])

        response = try self.decide(200, []).get()
        #expect(response.originBody == .untilClose && response.clientBody == .chunked)
        #expect(!response.originPersists && response.clientPersists)

        response = try self.decide(
            200, [("Transfer-Encoding", "chunked")], clientVersion: .http1_0,
            requestFields: [("Connection", "keep-alive")]
        ).get()
        #expect(response.clientBody == .untilClose && !response.clientPersists && response.originPersists)
        #expect(!response.head.headers.contains(name: "transfer-encoding"))
        #expect(response.head.headers["connection"] == ["close"])

        response = try self.decide(
            200, [("Content-Length", "2")], clientVersion: .http1_0, requestFields: [("Connection", "keep-alive")]
        ).get()
        #expect(response.clientPersists && response.head.headers["connection"] == ["keep-alive"])

        response = try self.decide(200, [("Content-Length", "2")], originVersion: .http1_0).get()
        #expect(!response.originPersists && response.clientPersists)
        #expect(response.head.version == .http1_1)
        #expect(response.head.headers["via"].contains("1.0 paris"))

        response = try self.decide(200, [("Content-Length", "2")], closing: true).get()
        #expect(!response.clientPersists && response.head.headers["connection"] == ["close"])
    }

    @Test func noBody() throws {
        var response = try self.decide(200, [("Content-Length", "5")], method: .HEAD).get()
        #expect(response.originBody == .none && response.clientBody == .none)
        #expect(response.head.headers["content-length"] == ["5"])

        response = try self.decide(200, [("Transfer-Encoding", "chunked")], method: .HEAD).get()
        #expect(response.clientBody == .none && !response.head.headers.contains(name: "transfer-encoding"))
        #expect(response.originPersists && response.clientPersists)

        response = try self.decide(304, [("Content-Length", "5"), ("ETag", "\"x\"")]).get()
        #expect(response.clientBody == .none && response.head.headers["content-length"] == ["5"])
        #expect(response.head.headers["etag"] == ["\"x\""])

        response = try self.decide(204, [("Content-Length", "0"), ("Transfer-Encoding", "chunked")]).get()
        #expect(response.clientBody == .none && !response.head.headers.contains(name: "content-length"))
        #expect(!response.head.headers.contains(name: "transfer-encoding"))
    }

    @Test(arguments: [
        ([("Content-Length", "3"), ("Transfer-Encoding", "chunked")], ResponseRefusal.lengthAndCoding),
        ([("Content-Length", "-3")], .badLength), ([("Content-Length", "x")], .badLength),
        ([("Content-Length", "3"), ("Content-Length", "4")], .differingLengths),
        ([("Transfer-Encoding", "gzip")], .codingNotSupported),
        ([("Transfer-Encoding", "chunked, gzip")], .chunkedNotLast),
        ([("A B", "x")], .badFieldName), ([("X", "a\nb")], .badFieldValue),
        ([("Connection", "content-length"), ("Content-Length", "3")], .badFieldValue),
    ])
    func badResponses(fields: [(String, String)], refusal: ResponseRefusal) throws {
        guard case .failure(let found) = try self.decide(200, fields) else {
            Issue.record("accepted")
            return
        }
        #expect(found == refusal)
    }

    @Test func badStatus() throws {
        for code in [100, 103, 99, 1000, 0] {
            guard case .failure(.badStatus) = try self.decide(code) else {
                Issue.record("accepted \(code)")
                continue
            }
        }
        guard case .failure(.upgradeNotRequested) = try self.decide(101) else {
            Issue.record("101 accepted")
            return
        }
    }

    @Test func upgrade() throws {
        let asked = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        var response = try self.decide(
            101, [("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")],
            requestFields: asked
        ).get()
        #expect(response.head.headers["connection"] == ["Upgrade"])
        #expect(response.head.headers["upgrade"] == ["websocket"])
        #expect(response.head.headers["sec-websocket-accept"] == ["x"])
        #expect(response.clientBody == .none && !response.originPersists)

        // NIO's decoder stops at a request that asked for an upgrade, so the connection can't go on without one.
        response = try self.decide(200, [("Content-Length", "1")], requestFields: asked).get()
        #expect(!response.clientPersists && response.originPersists)

        response = try self.decide(426, [("Upgrade", "websocket"), ("Content-Length", "0")]).get()
        #expect(response.head.headers["upgrade"] == ["websocket"])
        #expect(response.head.headers["connection"] == ["Upgrade"])
    }

    @Test func informational() throws {
        let hints = HTTPResponseHead(
            version: .http1_1, status: .init(statusCode: 103),
            headers: ["Link": "</a>; rel=preload", "Connection": "close"])
        let request = try self.builder.forwarded()
        let forwarded = try #require(self.rules.informational(hints, to: request))
        #expect(forwarded.headers["link"].count == 1 && !forwarded.headers.contains(name: "connection"))
        #expect(self.rules.informational(hints, to: try self.builder.forwarded(.GET, "/", version: .http1_0)) == nil)
        let goOn = HTTPResponseHead(version: .http1_1, status: .continue)
        #expect(self.rules.informational(goOn, to: request) == nil)
        let waiting = try self.builder.forwarded(.PUT, "/", [("Expect", "100-continue"), ("Content-Length", "3")])
        #expect(self.rules.informational(goOn, to: waiting)?.status == .continue)
    }

    @Test func trailers() {
        #expect(TrailerFields.forwarded(nil as HTTPHeaders?) == nil)
        #expect(TrailerFields.forwarded(["Content-Length": "5", "Host": "x", "Set-Cookie": "x"]) == nil)
        let kept = TrailerFields.forwarded(["X-Sum": "1", "Transfer-Encoding": "chunked", "X": "a\nb"])
        #expect(kept == ["X-Sum": "1"])
    }
}
