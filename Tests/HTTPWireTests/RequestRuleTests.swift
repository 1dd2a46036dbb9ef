import HTTPFields
import HTTPWire
import NIOCore
import Testing

@Suite struct RequestRuleTests {
    @Test(arguments: requestCases) func ruleHolds(_ rule: RequestCase) {
        #expect(verdict(readRequests(bytes(rule.input))) == rule.verdict)
    }

    @Test(arguments: smugglingCorpus.map(\.name)) func smugglersAreRefused(_ name: String) throws {
        let input = try #require(smugglingCorpus.first { $0.name == name }).input
        let items = readRequests(bytes(input))
        #expect(items.fault != nil, "\(items)")
        #expect(!items.contains { if case .head(let line, _, _) = $0 { line.contains("smuggled") } else { false } })
    }

    @Test func headHasWhatCame() throws {
        let items = readRequests(
            bytes(
                "PATCH /a?b HTTP/1.1\r\nhost:  x\r\nX-\u{7C}:\t\u{80}\u{FF} \t y \t\r\nEmpty:\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3;x=y\r\nabc\r\n0\r\nTrailing: \u{FE}\r\n\r\n"))
        #expect(
            items == [
                .head(
                    line: "PATCH /a?b 1.1",
                    fields: ["host: x", "X-|: \u{80}\u{FF} \t y", "Empty: ", "Transfer-Encoding: chunked"],
                    framing: .chunked),
                .body("abc"), .end(trailers: ["Trailing: \u{FE}"]),
            ])
    }

    @Test(arguments: [
        ("GET", RequestMethod.get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
        ("OPTIONS", .options), ("TRACE", .trace), ("PATCH", .patch), ("get", .other), ("GETS", .other),
        ("PROPFIND", .other),
        ("M-SEARCH", .other), ("G", .other),
    ])
    func methodsAreNumbers(_ name: String, _ method: RequestMethod) throws {
        let head = try #require(parsed("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n"))
        #expect(head.method == method)
        #expect(text(head.fields, head.methodRange) == name)
    }

    @Test func targetsHaveForms() throws {
        func target(_ line: String) throws -> (RequestHead, RequestTarget) {
            let head = try #require(parsed("\(line) HTTP/1.1\r\nHost: a\r\n\r\n"))
            return (head, head.target)
        }
        #expect(try target("GET /a://b").1 == .origin)
        #expect(try target("OPTIONS *").1 == .asterisk)
        #expect(try target("CONNECT a:1").1 == .authority)
        for (line, scheme, authority, rest) in [
            ("GET http://a.b:80/c?d", "http", "a.b:80", "/c?d"), ("GET h+1.-://u@[::1]?q", "h+1.-", "u@[::1]", "?q"),
            ("GET https://a", "https", "a", ""),
        ] {
            let (head, target) = try target(line)
            guard case .absolute(let one, let two, let three) = target else {
                Issue.record("\(line): \(target)")
                continue
            }
            #expect([one, two, three].map { text(head.fields, $0) } == [scheme, authority, rest])
        }
    }

    @Test func knownFieldsAreFound() throws {
        let head = try #require(
            parsed("GET / HTTP/1.1\r\nHOST: a\r\nCookie: x\r\nx-own: 1\r\ncookie: y\r\nX_Own: 2\r\nX-OWN: 3\r\n\r\n"))
        let fields = head.fields
        #expect(fields.contains(.cookie) && fields.repeats(.cookie) && !fields.repeats(.host))
        #expect(!fields.contains(.contentLength) && fields.first(.contentLength) == nil)
        #expect(fields.first(.cookie).map { text(fields, $0.value) } == "x")
        #expect(fields.filter { $0.known == .cookie }.map { text(fields, $0.value) } == ["x", "y"])
        #expect(fields.first(named: "x-own").map { text(fields, $0.value) } == "1")
        #expect(fields.first(named: "x_own").map { text(fields, $0.value) } == "2")
        #expect(fields.first(named: "x-other") == nil)
        #expect(fields.slice(try #require(fields.first(.host)).value) == ByteBuffer(string: "a"))
    }

    @Test func connectionOptionsAndExpectation() throws {
        func options(_ fields: String) throws -> ConnectionOptions {
            try #require(parsed("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")).fields.connectionOptions
        }
        #expect(try options("").persists(minorVersion: 1) && !options("").persists(minorVersion: 0))
        #expect(try options("Connection: Keep-Alive\r\n").persists(minorVersion: 0))
        #expect(try !options("Connection: a ,CLOSE\r\nConnection: keep-alive\r\n").persists(minorVersion: 1))
        let upgrade = try options("Connection: upgrade, Host\r\n")
        #expect(upgrade.upgrade && upgrade.isPlain && upgrade.named.contains(.host) && upgrade.others.isEmpty)
        for odd in ["Connection: \"a\"\r\n", "Connection: a,\tb\r\n", "Connection: a\r\nConnection: b\r\n"] {
            #expect(try !options(odd).isPlain, "\(odd)")
        }
        let head = try #require(
            parsed("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x-Hop\r\nX-HOP: 1\r\nX-Hope: 2\r\n\r\n"))
        let others = head.fields.connectionOptions.others
        #expect(others.count == 1)
        #expect(
            head.fields.filter { head.fields.isNamed($0, by: others) }.map { text(head.fields, $0.name) } == ["X-HOP"])

        func expects(_ fields: String, version: String = "1.1") throws -> Bool {
            try #require(parsed("POST / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n")).expectsContinue
        }
        #expect(try expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"))
        #expect(try expects("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"))
        #expect(try !expects("Expect: 100-continue\r\nContent-Length: 0\r\n"))
        #expect(try !expects("Expect: 100-continue\r\n"))
        #expect(try !expects("Expect: 100-continue\r\nContent-Length: 1\r\n", version: "1.0"))
        #expect(try !expects("Expect: 200-ok\r\nContent-Length: 1\r\n"))
    }

    /// What a proxy does with an upgrade: it asks for nothing more until the answer is known.
    @Test func bytesBehindAnUpgradeComeBack() throws {
        var reader = RequestReader()
        reader.receive(
            ByteBuffer(
                string: "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\u{1}\u{2}not HTTP"))
        guard case .head? = try reader.next(), case .end? = try reader.next() else { throw Unexpected() }
        #expect(!reader.isBetweenRequests && reader.bufferedBytes == 10)
        #expect(reader.takeRest() == ByteBuffer(string: "\u{1}\u{2}not HTTP"))
        #expect(reader.takeRest().readableBytes == 0)
    }

    @Test func endOfConnection() throws {
        func end(_ input: String) throws {
            var reader = RequestReader()
            reader.receive(ByteBuffer(string: input))
            while try reader.next() != nil {}
            try reader.receiveEnd()
        }
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for whole in ["", "\r\n", "\r", get, get + "\r\n"] { try end(whole) }
        for part in [
            "G", "GET / HTTP/1.1\r\n", get + "GET", get.replacing("\r\n\r\n", with: "\r\nContent-Length: 2\r\n\r\nx"),
        ] {
            #expect(throws: WireError(.incomplete, from: .client)) { try end(part) }
        }
    }

    @Test func betweenRequests() throws {
        var reader = RequestReader()
        #expect(reader.isBetweenRequests)
        reader.receive(ByteBuffer(string: "\r\n"))
        #expect(try reader.next() == nil)
        #expect(reader.isBetweenRequests, "an empty line is no request")
        reader.receive(ByteBuffer(string: "G"))
        #expect(try reader.next() == nil)
        #expect(!reader.isBetweenRequests)
    }

    /// A fault is the last word, and nothing is kept.
    @Test func faultsAreFinal() {
        var reader = RequestReader()
        reader.receive(ByteBuffer(string: "GET / HTTP/3.0\r\nmore"))
        for _ in 0..<2 {
            #expect(throws: WireError(.versionNotSupported, from: .client)) { try reader.next() }
            reader.receive(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            #expect(reader.bufferedBytes == 0)
        }
        var heads = RequestHeadParser()
        var buffer = ByteBuffer(string: "\0")
        for _ in 0..<2 {
            #expect(throws: WireError(.badMethod, from: .client)) { try heads.parse(&buffer) }
            buffer = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        }
    }

    @Test(arguments: WireFault.allCases) func everyFaultHasAStatus(_ fault: WireFault) {
        #expect([400, 414, 431, 501, 505].contains(WireError(fault, from: .client).status))
        #expect(WireError(fault, from: .origin).status == 502)
        #expect(fault.explanation.utf8CodeUnitCount > 0)
    }
}

struct Unexpected: Error {}

func parsed(_ input: String) -> RequestHead? {
    var parser = RequestHeadParser()
    var buffer = ByteBuffer(bytes: bytes(input))
    return try? parser.parse(&buffer)
}

/// What a table says of these items.
func verdict(_ items: [Item]) -> RequestCase.Verdict {
    var contents: [String] = []
    var body = ""
    var open = false
    for item in items {
        switch item {
        case .head:
            open = true
            body = ""
        case .body(let text): body += text
        case .end:
            contents.append(body)
            open = false
        case .switched: break
        case .refused(let fault, let status): return .refused(fault, status)
        }
    }
    return open || contents.isEmpty ? .incomplete : .contents(contents)
}
