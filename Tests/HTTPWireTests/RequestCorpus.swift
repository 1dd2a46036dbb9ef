import HTTPFields
import HTTPWire

/// One input and its verdict.
struct RequestCase: Sendable, CustomStringConvertible {
    enum Verdict: Sendable, Equatable {
        case refused(WireFault, Int)
        /// The content of each request, in order; the input ends with the last one.
        case contents([String])
        /// Not at its end yet.
        case incomplete
    }

    /// Where the rule stands.
    var section: String
    var input: String
    var verdict: Verdict

    init(_ section: String, _ input: String, _ verdict: Verdict) {
        self.section = section
        self.input = input
        self.verdict = verdict
    }

    var description: String { "\(self.section): \(self.input.debugDescription)" }
}

private func get(_ line: String, _ fields: String = "") -> String { "\(line)\r\nHost: a\r\n\(fields)\r\n" }
private func post(_ fields: String, _ content: String) -> String {
    "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\(content)"
}
private func chunked(_ content: String) -> String { post("Transfer-Encoding: chunked\r\n", content) }

let startLineCases: [RequestCase] = [
    RequestCase("RFC 9112 §3", get("GET / HTTP/1.1"), .contents([""])),
    RequestCase("RFC 9112 §3", get("GET / HTTP/1.1") + get("GET /2 HTTP/1.1"), .contents(["", ""])),
    RequestCase("RFC 9112 §2.2 one empty line", "\r\n" + get("GET / HTTP/1.1"), .contents([""])),
    RequestCase(
        "RFC 9112 §2.2 one between two", get("GET / HTTP/1.1") + "\r\n" + get("GET / HTTP/1.1"), .contents(["", ""])),
    RequestCase("RFC 9112 §2.2 only one", "\r\n\r\n" + get("GET / HTTP/1.1"), .refused(.badMethod, 400)),
    RequestCase("RFC 9112 §2.2", "\n" + get("GET / HTTP/1.1"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", "\r" + get("GET / HTTP/1.1"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\nHost: a\r\n\r\n", .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\rHost: a\r\n\r\n", .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9110 §9.1 any token", get("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), .contents([""])),
    RequestCase("RFC 9110 §9.1", get("G(T / HTTP/1.1"), .refused(.badMethod, 400)),
    RequestCase("RFC 9110 §9.1", get("G\u{E9}T / HTTP/1.1"), .refused(.badMethod, 400)),
    RequestCase("RFC 9110 §9.1", get("G\0T / HTTP/1.1"), .refused(.badMethod, 400)),
    RequestCase("RFC 9112 §3", "GET\r\nHost: a\r\n\r\n", .refused(.missingVersion, 400)),
    RequestCase("RFC 9112 §3 HTTP/0.9", "GET /\r\n", .refused(.missingVersion, 400)),
    RequestCase("RFC 9112 §3", get(" GET / HTTP/1.1"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3", get("GET  / HTTP/1.1"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3", get("GET\t/ HTTP/1.1"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3", get("GET /a b HTTP/1.1"), .refused(.badVersion, 400)),
    RequestCase("RFC 9112 §3", get("GET /a\tb HTTP/1.1"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3", get("GET /  HTTP/1.1"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3", get("GET / HTTP/1.1 "), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3", get("GET / HTTP/1.1 x"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §3.2 controls", get("GET /\u{1} HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2 controls", get("GET /\u{7F} HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2 NUL", get("GET /\0 HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2 not ASCII", get("GET /\u{E9} HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2 fragment", get("GET /#a HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.1", get("GET /a|b?x={1}[2]&e=%zz\"<>\\^` HTTP/1.1"), .contents([""])),
    RequestCase("RFC 9112 §3.2.1", get("GET a HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.1", get("GET ?a HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.2", get("GET http://a/ HTTP/1.1"), .contents([""])),
    RequestCase("RFC 9112 §3.2.2", get("GET HTTPS://a?q HTTP/1.1"), .contents([""])),
    RequestCase("RFC 9112 §3.2.2", get("GET http:/a HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.2", get("GET http:/// HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.2", get("GET http:// HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 3986 §3.1", get("GET h2+x://a/ HTTP/1.1"), .contents([""])),
    RequestCase("RFC 3986 §3.1", get("GET 1ttp://a/ HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.3", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", .contents([""])),
    RequestCase("RFC 9112 §3.2.3", "CONNECT [::1]:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", .contents([""])),
    RequestCase("RFC 9112 §3.2.3", get("CONNECT a HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.3", get("CONNECT /:1 HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.3", get("CONNECT :443 HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.3", get("CONNECT http://a/ HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.3", get("GET a:443 HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.4", get("OPTIONS * HTTP/1.1"), .contents([""])),
    RequestCase("RFC 9112 §3.2.4", get("GET * HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §3.2.4", get("OPTIONS *a HTTP/1.1"), .refused(.badTarget, 400)),
    RequestCase("RFC 9112 §2.3", "GET / HTTP/1.0\r\n\r\n", .contents([""])),
    RequestCase("RFC 9110 §2.5", get("GET / HTTP/1.7"), .contents([""])),
    RequestCase("RFC 9112 §2.3", get("GET / HTTP/1.10"), .refused(.badVersion, 400)),
    RequestCase("RFC 9112 §2.3", get("GET / HTTP/01.1"), .refused(.badVersion, 400)),
    RequestCase("RFC 9112 §2.3", get("GET / HTTP/1,1"), .refused(.badVersion, 400)),
    RequestCase("RFC 9112 §2.3", get("GET / HTTP/1."), .refused(.badVersion, 400)),
    RequestCase("RFC 9112 §2.3", get("GET / HTTP 1.1"), .refused(.whitespaceInStartLine, 400)),
    RequestCase("RFC 9112 §2.3", get("GET / http/1.1"), .refused(.badVersion, 400)),
    RequestCase("RFC 9112 §2.3", get("GET / ICE/1.0"), .refused(.badVersion, 400)),
    RequestCase("RFC 9110 §15.6.6", get("GET / HTTP/2.0"), .refused(.versionNotSupported, 505)),
    RequestCase("RFC 9110 §15.6.6", get("GET / HTTP/0.9"), .refused(.versionNotSupported, 505)),
    RequestCase("RFC 9113 §3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .refused(.versionNotSupported, 505)),
    RequestCase("not HTTP", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", .refused(.badMethod, 400)),
]

let fieldCases: [RequestCase] = [
    RequestCase("RFC 9112 §5", get("GET / HTTP/1.1", "A:b\r\nC: \t d \t\r\nE:\r\nF: \r\n"), .contents([""])),
    RequestCase("RFC 9110 §5.5 obs-text, HTAB", get("GET / HTTP/1.1", "A: \u{80}\u{FF}\tx\r\n"), .contents([""])),
    RequestCase("RFC 9110 §5.1 token", get("GET / HTTP/1.1", "!#$%&'*+-.^_`|~09azAZ: b\r\n"), .contents([""])),
    RequestCase("RFC 9112 §5.1", get("GET / HTTP/1.1", "A : b\r\n"), .refused(.spaceBeforeColon, 400)),
    RequestCase("RFC 9112 §5.1", get("GET / HTTP/1.1", "A\t: b\r\n"), .refused(.spaceBeforeColon, 400)),
    RequestCase("RFC 9112 §5.1", get("GET / HTTP/1.1", "A b: c\r\n"), .refused(.spaceBeforeColon, 400)),
    RequestCase("RFC 9110 §5.1", get("GET / HTTP/1.1", ": b\r\n"), .refused(.emptyFieldName, 400)),
    RequestCase("RFC 9110 §5.1", get("GET / HTTP/1.1", "A\0: b\r\n"), .refused(.badFieldName, 400)),
    RequestCase("RFC 9110 §5.1", get("GET / HTTP/1.1", "A\u{E9}: b\r\n"), .refused(.badFieldName, 400)),
    RequestCase("RFC 9110 §5.1", get("GET / HTTP/1.1", "\u{E9}A: b\r\n"), .refused(.badFieldName, 400)),
    RequestCase("RFC 9110 §5.1", get("GET / HTTP/1.1", "A(b): c\r\n"), .refused(.badFieldName, 400)),
    RequestCase("RFC 9110 §5.1", get("GET / HTTP/1.1", "\"A\": c\r\n"), .refused(.badFieldName, 400)),
    RequestCase("RFC 9112 §5 no colon", get("GET / HTTP/1.1", "Abc\r\n"), .refused(.badFieldName, 400)),
    RequestCase("RFC 9112 §5.2", get("GET / HTTP/1.1", "A: b\r\n c\r\n"), .refused(.foldedLine, 400)),
    RequestCase("RFC 9112 §5.2", get("GET / HTTP/1.1", "A: b\r\n\tc\r\n"), .refused(.foldedLine, 400)),
    RequestCase("RFC 9112 §5.2", get("GET / HTTP/1.1", "A:\r\n b\r\n"), .refused(.foldedLine, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", .refused(.foldedLine, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", .refused(.foldedLine, 400)),
    RequestCase("RFC 9112 §2.2", get("GET / HTTP/1.1", "A: b\nC: d\r\n"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", get("GET / HTTP/1.1", "A\nC: d\r\n"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n", .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", get("GET / HTTP/1.1", "A: b\rC: d\r\n"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §2.2", get("GET / HTTP/1.1", "A: b\r\r\n"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: a\r\n\rX", .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9110 §5.5", get("GET / HTTP/1.1", "A: b\0c\r\n"), .refused(.controlInValue, 400)),
    RequestCase("RFC 9110 §5.5", get("GET / HTTP/1.1", "A: b\u{1}c\r\n"), .refused(.controlInValue, 400)),
    RequestCase("RFC 9110 §5.5", get("GET / HTTP/1.1", "A: b\u{B}c\r\n"), .refused(.controlInValue, 400)),
    RequestCase("RFC 9110 §5.5", get("GET / HTTP/1.1", "A: b\u{7F}c\r\n"), .refused(.controlInValue, 400)),
    RequestCase("RFC 9112 §3.2", "GET / HTTP/1.1\r\n\r\n", .refused(.missingHost, 400)),
    RequestCase("RFC 9112 §3.2", get("GET / HTTP/1.1", "host: a\r\n"), .refused(.severalHosts, 400)),
    RequestCase("RFC 9112 §3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", .refused(.severalHosts, 400)),
    RequestCase("RFC 9112 §2.1", "GET / HTTP/1.1\r\nHost: a\r\n", .incomplete),
]

let framingCases: [RequestCase] = [
    RequestCase("RFC 9112 §6.3 (6)", post("Content-Length: 5\r\n", "hello"), .contents(["hello"])),
    RequestCase(
        "RFC 9112 §6.3 (6)", post("Content-Length: 5\r\n", "hello") + post("content-LENGTH:2 \r\n", "hi"),
        .contents(["hello", "hi"])),
    RequestCase("RFC 9112 §6.3 (7)", post("", "") + get("GET / HTTP/1.1"), .contents(["", ""])),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 0\r\n", ""), .contents([""])),
    RequestCase("RFC 9110 §8.6 leading zeros", post("Content-Length: 005\r\n", "hello"), .contents(["hello"])),
    RequestCase(
        "RFC 9110 §8.6 leading zeros", post("Content-Length: 0000000000000000000000005\r\n", "hello"),
        .contents(["hello"])),
    RequestCase("RFC 9112 §6.3", post("Content-Length: 5\r\n", "hell"), .incomplete),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 9223372036854775807\r\n", ""), .incomplete),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 9223372036854775808\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 18446744073709551621\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length:\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: +5\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: -5\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 0x5\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 5 5\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: 5.0\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: five\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6", post("Content-Length: \u{B2}\r\n", ""), .refused(.badLength, 400)),
    RequestCase("RFC 9110 §8.6 lists", post("Content-Length: 5, 5\r\n", "hello"), .refused(.severalLengths, 400)),
    RequestCase("RFC 9110 §8.6 lists", post("Content-Length: 5, 6\r\n", "hello"), .refused(.severalLengths, 400)),
    RequestCase("RFC 9110 §8.6 lists", post("Content-Length: 5,\r\n", "hello"), .refused(.severalLengths, 400)),
    RequestCase(
        "RFC 9110 §8.6 lists", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        .refused(.severalLengths, 400)),
    RequestCase(
        "RFC 9112 §6.3 (5)", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        .refused(.severalLengths, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhello\r\n0\r\n\r\n"), .contents(["hello"])),
    RequestCase(
        "RFC 9112 §7.1", post("transfer-encoding:\tCHUNKED \r\n", "5\r\nhello\r\n0\r\n\r\n"), .contents(["hello"])),
    RequestCase(
        "RFC 9112 §6.1", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        .refused(.lengthAndCoding, 400)),
    RequestCase(
        "RFC 9112 §6.1", post("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", "0\r\n\r\n"),
        .refused(.lengthAndCoding, 400)),
    RequestCase(
        "RFC 9112 §6.1", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        .refused(.codingInHTTP10, 400)),
    RequestCase("RFC 9112 §6.1", post("Transfer-Encoding: gzip, chunked\r\n", ""), .refused(.codingNotSupported, 501)),
    RequestCase(
        "RFC 9110 §5.6.1", post("Transfer-Encoding: gzip\t , \tchunked\r\n", ""), .refused(.codingNotSupported, 501)),
    RequestCase(
        "RFC 9112 §6.1", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", ""),
        .refused(.codingNotSupported, 501)),
    RequestCase(
        "RFC 9112 §6.1", post("Transfer-Encoding: identity, chunked\r\n", ""), .refused(.codingNotSupported, 501)),
    RequestCase("RFC 9112 §6.3 (4)", post("Transfer-Encoding: gzip\r\n", ""), .refused(.chunkedNotLast, 400)),
    RequestCase("RFC 9112 §6.3 (4)", post("Transfer-Encoding: identity\r\n", ""), .refused(.chunkedNotLast, 400)),
    RequestCase("RFC 9112 §6.3 (4)", post("Transfer-Encoding: chunked, gzip\r\n", ""), .refused(.chunkedNotLast, 400)),
    RequestCase("RFC 9112 §6.1", post("Transfer-Encoding: chunked, chunked\r\n", ""), .refused(.chunkedNotLast, 400)),
    RequestCase(
        "RFC 9112 §6.1", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""),
        .refused(.chunkedNotLast, 400)),
    RequestCase("RFC 9112 §6.1", post("Transfer-Encoding:\r\n", ""), .refused(.badCoding, 400)),
    RequestCase("RFC 9112 §6.1", post("Transfer-Encoding: ,chunked\r\n", ""), .refused(.badCoding, 400)),
    RequestCase("RFC 9112 §6.1", post("Transfer-Encoding: chunked,\r\n", ""), .refused(.badCoding, 400)),
    RequestCase("RFC 9112 §7.1", post("Transfer-Encoding: chunked;q=1\r\n", ""), .refused(.badCoding, 400)),
    RequestCase("RFC 9112 §7.1", post("Transfer-Encoding: \"chunked\"\r\n", ""), .refused(.badCoding, 400)),
    RequestCase("RFC 9112 §7.1", post("Transfer-Encoding: chunked foo\r\n", ""), .refused(.badCoding, 400)),
    RequestCase("RFC 9112 §7.1", post("Transfer-Encoding: xchunked\r\n", ""), .refused(.chunkedNotLast, 400)),
    RequestCase(
        "RFC 9112 §7.1", post("Transfer-Encoding: chun\u{E2}\u{84}\u{AA}ed\r\n", ""), .refused(.badCoding, 400)),
]

let chunkCases: [RequestCase] = [
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), .contents(["hello world"])),
    RequestCase("RFC 9112 §7.1", chunked("a\r\n0123456789\r\n00\r\n\r\n"), .contents(["0123456789"])),
    RequestCase("RFC 9112 §7.1", chunked("0000000000000001\r\nx\r\n0\r\n\r\n"), .contents(["x"])),
    RequestCase("RFC 9112 §7.1", chunked("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n"), .contents(["\r\n"])),
    RequestCase("RFC 9112 §7.1", chunked("0\r\n\r\n") + get("GET / HTTP/1.1"), .contents(["", ""])),
    RequestCase("RFC 9112 §7.1.1", chunked("1;a=b;c=\"d e\"\t\u{E9}\r\nx\r\n0;e\r\n\r\n"), .contents(["x"])),
    RequestCase("RFC 9112 §7.1.2", chunked("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n"), .contents(["x"])),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhel"), .incomplete),
    RequestCase("RFC 9112 §7.1", chunked("7fffffffffffffff\r\n"), .incomplete),
    RequestCase("RFC 9112 §7.1", chunked("8000000000000000\r\n"), .refused(.chunkTooLarge, 400)),
    RequestCase("RFC 9112 §7.1", chunked("ffffffffffffffff\r\n"), .refused(.chunkTooLarge, 400)),
    RequestCase("RFC 9112 §7.1", chunked("10000000000000005\r\n"), .refused(.chunkTooLarge, 400)),
    RequestCase("RFC 9112 §7.1", chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"), .refused(.chunkTooLarge, 400)),
    RequestCase("RFC 9112 §7.1", chunked("\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked(";a\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("+5\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("-5\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("0x5\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked(" 5\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5 \r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\t\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1.1 BWS", chunked("5 ;a\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5_0\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5.0\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5,5\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5h\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("g\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\0\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkSize, 400)),
    RequestCase("RFC 9112 §2.2", chunked("5\nhello\r\n0\r\n\r\n"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", chunked("5\rhello\r\n0\r\n\r\n"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §2.2", chunked("5\r\r\nhello\r\n0\r\n\r\n"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §2.2", chunked("5;a\nhello\r\n0\r\n\r\n"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", chunked("5;a=\"\r\nb\"\r\nhello\r\n0\r\n\r\n"), .refused(.missingChunkEnd, 400)),
    RequestCase("RFC 9112 §7.1.1", chunked("5;a\0\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkExtension, 400)),
    RequestCase("RFC 9112 §7.1.1", chunked("5;a\u{7F}\r\nhello\r\n0\r\n\r\n"), .refused(.badChunkExtension, 400)),
    RequestCase("RFC 9112 §2.2", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhello0\r\n\r\n"), .refused(.missingChunkEnd, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhello\n0\r\n\r\n"), .refused(.missingChunkEnd, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhello\r0\r\n\r\n"), .refused(.missingChunkEnd, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhelloXX0\r\n\r\n"), .refused(.missingChunkEnd, 400)),
    RequestCase("RFC 9112 §7.1", chunked("5\r\nhello \r\n0\r\n\r\n"), .refused(.missingChunkEnd, 400)),
    RequestCase("RFC 9112 §2.2", chunked("0\r\n\n"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", chunked("0\n\n"), .refused(.bareLineFeed, 400)),
    RequestCase("RFC 9112 §2.2", chunked("0\r\n\rX"), .refused(.bareCarriageReturn, 400)),
    RequestCase("RFC 9112 §7.1.2", chunked("0\r\nA : b\r\n\r\n"), .refused(.spaceBeforeColon, 400)),
    RequestCase("RFC 9112 §5.2", chunked("0\r\nA: b\r\n c\r\n\r\n"), .refused(.foldedLine, 400)),
    RequestCase("RFC 9112 §7.1.2", chunked("0\r\nA: b\0\r\n\r\n"), .refused(.controlInValue, 400)),
    RequestCase("RFC 9112 §7.1.2", chunked("0\r\nGET /x HTTP/1.1\r\n\r\n"), .refused(.spaceBeforeColon, 400)),
]

let requestCases = startLineCases + fieldCases + framingCases + chunkCases
