import HTTPFields
import HTTPWire
import NIOCore
import Testing

struct ResponseCase: Sendable, CustomStringConvertible {
    var section: String
    var methods: [RequestMethod]
    var input: String
    var items: [Item]

    init(_ section: String, _ method: RequestMethod, _ input: String, _ items: [Item]) {
        self.section = section
        self.methods = [method]
        self.input = input
        self.items = items
    }

    init(_ section: String, _ method: RequestMethod, _ input: String, _ fault: WireFault) {
        self.init(section, method, input, [.refused(fault, 502)])
    }

    var description: String { "\(self.section): \(self.input.debugDescription)" }
}

private func head(_ line: String, _ fields: [String], _ framing: BodyFraming) -> Item {
    .head(line: line, fields: fields, framing: framing)
}

private func head(_ line: String, _ framing: BodyFraming) -> Item { head(line, [], framing) }

private let none = Item.end(trailers: [])

let responseCases: [ResponseCase] = [
    ResponseCase(
        "RFC 9112 §4", .get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        [head("1.1 200 OK", ["Content-Length: 2"], .length(2)), .body("hi"), none]),
    ResponseCase(
        "RFC 9112 §4 reason", .get, "HTTP/1.1 200 \u{E9}\t a  b\u{80} \r\nContent-Length: 0\r\n\r\n",
        [head("1.1 200 \u{E9}\t a  b\u{80} ", ["Content-Length: 0"], .length(0)), none]),
    ResponseCase(
        "RFC 9112 §4 no reason", .get, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        [head("1.1 200 ", ["Content-Length: 0"], .length(0)), none]),
    ResponseCase(
        "RFC 9112 §4 no space either", .get, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        [head("1.1 200 ", ["Content-Length: 0"], .length(0)), none]),
    ResponseCase(
        "RFC 9110 §15", .get, "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n",
        [head("1.1 999 x", ["Content-Length: 0"], .length(0)), none]),
    ResponseCase("RFC 9110 §15", .get, "HTTP/1.1 099 x\r\n\r\n", .badStatus),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 20 OK\r\n\r\n", .whitespaceInStartLine),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 2000 OK\r\n\r\n", .badStatus),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 20x OK\r\n\r\n", .badStatus),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 +20 OK\r\n\r\n", .badStatus),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1  200 OK\r\n\r\n", .whitespaceInStartLine),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1\t200 OK\r\n\r\n", .whitespaceInStartLine),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1\r\n\r\n", .badStatus),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 200\tOK\r\n\r\n", .whitespaceInStartLine),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 200 O\0K\r\n\r\n", .badReason),
    ResponseCase("RFC 9112 §4", .get, "HTTP/1.1 200 O\u{7F}K\r\n\r\n", .badReason),
    ResponseCase("RFC 9112 §2.2", .get, "HTTP/1.1 200 OK\n\r\n", .bareLineFeed),
    ResponseCase("RFC 9112 §2.2", .get, "HTTP/1.1 200 OK\rX: y\r\n\r\n", .bareCarriageReturn),
    ResponseCase("RFC 9112 §2.2", .get, "\r\nHTTP/1.1 200 OK\r\n\r\n", .badVersion),
    ResponseCase("RFC 9112 §2.3", .get, "HTTP/2.0 200 OK\r\n\r\n", .versionNotSupported),
    ResponseCase("RFC 9112 §2.3", .get, "HTTP/1.1x200 OK\r\n\r\n", .badVersion),
    ResponseCase("RFC 9112 §2.3", .get, "ICY 200 OK\r\n\r\n", .badVersion),
    ResponseCase("RFC 9112 §5.2", .get, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", .foldedLine),
    ResponseCase("RFC 9112 §5.1", .get, "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", .spaceBeforeColon),
    ResponseCase("RFC 9110 §5.5", .get, "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", .controlInValue),
    ResponseCase(
        "RFC 9112 §6.3 (8)", .get, "HTTP/1.1 200 OK\r\n\r\nto the end",
        [head("1.1 200 OK", .untilClose), .body("to the end"), none]),
    ResponseCase("RFC 9112 §6.3 (8)", .get, "HTTP/1.0 200 OK\r\n\r\n", [head("1.0 200 OK", .untilClose), none]),
    ResponseCase(
        "RFC 9112 §6.3 (1)", .head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        [head("1.1 200 OK", ["Content-Length: 5"], .none), none]),
    ResponseCase(
        "RFC 9112 §6.3 (1)", .head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        [head("1.1 200 OK", ["Transfer-Encoding: chunked"], .none), none]),
    ResponseCase(
        "RFC 9112 §6.3 (1)", .head, "HTTP/1.1 200 OK\r\n\r\nx",
        [head("1.1 200 OK", .none), none, .refused(.unexpectedResponse, 502)]),
    ResponseCase(
        "RFC 9112 §6.3 (1)", .get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        [head("1.1 304 Not Modified", ["Content-Length: 5"], .none), none]),
    ResponseCase(
        "RFC 9112 §6.3 (1)", .get, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        [head("1.1 204 No Content", ["Content-Length: 5"], .none), none]),
    ResponseCase(
        "RFC 9112 §6.3 (1)", .get, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: x\r\n\r\n",
        [head("1.1 204 No Content", ["Transfer-Encoding: x"], .none), none]),
    ResponseCase(
        "RFC 9110 §15.2", .get,
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100\r\n\r\nHTTP/1.1 204 \r\n\r\n",
        [head("1.1 103 Early Hints", ["Link: x"], .none), head("1.1 100 ", .none), head("1.1 204 ", .none), none]),
    ResponseCase(
        "RFC 9110 §7.8", .get, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nnot HTTP",
        [head("1.1 101 Switching", ["Upgrade: x"], .none), .switched]),
    ResponseCase(
        "RFC 9112 §6.3 (2)", .connect, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnot HTTP",
        [head("1.1 200 OK", ["Content-Length: 5"], .none), .switched]),
    ResponseCase(
        "RFC 9112 §6.3 (2)", .connect, "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx",
        [head("1.1 403 No", ["Content-Length: 1"], .length(1)), .body("x"), none]),
    ResponseCase(
        "RFC 9112 §6.3 (4)", .get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n",
        [head("1.1 200 OK", ["Transfer-Encoding: chunked"], .chunked), .body("x"), .end(trailers: ["A: b"])]),
    ResponseCase("RFC 9112 §6.3 (4)", .get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", .chunkedNotLast),
    ResponseCase(
        "RFC 9112 §6.1", .get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        .codingNotSupported),
    ResponseCase("RFC 9112 §6.1", .get, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .codingInHTTP10),
    ResponseCase(
        "RFC 9112 §6.3 (3)", .get,
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndCoding),
    ResponseCase(
        "RFC 9112 §6.3 (5)", .get, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        .severalLengths),
    ResponseCase("RFC 9112 §6.3 (5)", .get, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", .badLength),
    ResponseCase(
        "RFC 9112 §8", .get, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        [head("1.1 200 OK", ["Content-Length: 3"], .length(3)), .body("hi"), .refused(.incomplete, 502)]),
    ResponseCase(
        "RFC 9112 §8", .get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        [head("1.1 200 OK", ["Transfer-Encoding: chunked"], .chunked), .body("x"), .refused(.incomplete, 502)]),
    ResponseCase("RFC 9112 §8", .get, "HTTP/1.1 200 OK\r\nA: b\r\n", .incomplete),
    ResponseCase("RFC 9112 §8", .get, "", .incomplete),
    ResponseCase(
        "RFC 9112 §7.1", .get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        [head("1.1 200 OK", ["Transfer-Encoding: chunked"], .chunked), .body("x"), .refused(.missingChunkEnd, 502)]),
    ResponseCase(
        "RFC 9112 §9.2", .get,
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        [head("1.1 200 OK", ["Content-Length: 1"], .length(1)), .body("x"), none, .refused(.unexpectedResponse, 502)]),
]

@Suite struct ResponseRuleTests {
    @Test(arguments: responseCases) func ruleHolds(_ rule: ResponseCase) {
        #expect(readResponses(bytes(rule.input), to: rule.methods) == rule.items)
    }

    @Test func twoResponses() {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        #expect(readResponses(bytes(one), to: [.get, .get]).last == .refused(.incomplete, 502))
        #expect(readResponses(bytes("HTTP/1.1 404 \r\n\r\n"), to: [.head, .get]).last == .refused(.incomplete, 502))
    }

    @Test func announcedLengths() throws {
        func announced(_ status: Int) throws -> BodyFraming? {
            var parser = ResponseHeadParser()
            var buffer = ByteBuffer(string: "HTTP/1.1 \(status) x\r\nContent-Length: 5\r\n\r\n")
            return try #require(try parser.parse(&buffer)).announced
        }
        #expect(try announced(200) == .length(5) && announced(304) == .length(5))
        #expect(try announced(204) == nil && announced(103) == nil)
    }

    @Test func responsesNobodyAskedFor() throws {
        var reader = ResponseReader()
        #expect(try reader.next() == nil)
        #expect(reader.isIdle)
        reader.receive(ByteBuffer(string: "H"))
        #expect(!reader.isIdle)
        #expect(throws: WireError(.unexpectedResponse, from: .origin)) { try reader.next() }
        // What lay there before the request was sent is not its response.
        var second = ResponseReader()
        second.receive(ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        second.expect(.get)
        #expect(throws: WireError(.unexpectedResponse, from: .origin)) { try second.next() }
    }

    @Test func bytesBehindASwitchComeBack() throws {
        var reader = ResponseReader()
        reader.expect(.get)
        reader.receive(ByteBuffer(string: "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nnot"))
        guard case .head? = try reader.next(), case .switched? = try reader.next() else { throw Unexpected() }
        reader.receive(ByteBuffer(string: " HTTP"))
        #expect(try reader.next() == nil)
        #expect(reader.takeRest() == ByteBuffer(string: "not HTTP"))
        #expect(!reader.isIdle)
        try reader.receiveEnd()
    }
}
