/// Ways in which requests have been smuggled past proxies. Each has to be refused at its first request: none of these may be
/// passed on in a form that a second parser could read otherwise. The hidden request is `GET /smuggled`.
let smugglingCorpus: [(name: String, input: String)] = {
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    let body = "0\r\n\r\n" + hidden
    func post(_ fields: String, _ content: String = body) -> String {
        "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\(content)"
    }
    var corpus: [(name: String, input: String)] = [
        ("CL.TE", post("Content-Length: \(body.utf8.count)\r\nTransfer-Encoding: chunked\r\n")),
        ("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2e\r\n" + hidden + "\r\n0\r\n\r\n")),
        ("CL.CL", post("Content-Length: 5\r\nContent-Length: \(body.utf8.count)\r\n")),
        ("CL.CL in a list", post("Content-Length: 5, \(body.utf8.count)\r\n")),
        ("CL.0 by a space in the name", post("Content-Length : 5\r\n")),
        ("CL with a sign", post("Content-Length: +5\r\n")),
        ("CL in hexadecimal", post("Content-Length: 0x5\r\n")),
        ("CL with an underscore in the digits", post("Content-Length: 4_2\r\n")),
        ("CL with NUL", post("Content-Length: 5\0\r\n")),
        ("CL folded", post("Content-Length:\r\n 5\r\n")),
        ("CL behind a bare LF", post("X: y\nContent-Length: 5\r\n")),
        ("CL behind a bare CR", post("X: y\rContent-Length: 5\r\n")),
        ("CL that overflows 64 bits", post("Content-Length: 18446744073709551621\r\n", "hello" + hidden)),
        ("TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body),
        (
            "a space in front of the first field",
            "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n" + body
        ),
        ("the head ends in LF LF", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\n" + body),
        ("the head ends in CR LF LF", "GET / HTTP/1.1\r\nHost: a\r\n\n" + hidden),
        ("the head ends in CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n" + hidden),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("a space in the request line", "GET /x HTTP/1.1\tHTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a request line with two versions", "GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]
    // TE.TE: one of two servers does not take the field for what it is.
    let codings = [
        "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked",
        "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding:\n chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: \u{B}chunked", "Transfer-Encoding: chunked\u{C}", "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: chunked\0", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked;", "Transfer-Encoding: chunked;a=b", "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,", "Transfer-Encoding: chunked chunked", "Transfer-Encoding: chunked\u{A0}",
        "Transfer-Encoding: \u{A0}chunked", "Transfer-Encoding: \u{FF}chunked", "Transfer\0-Encoding: chunked",
        "Transfer-Encoding\0: chunked", "Transfer-Encoding\u{B}: chunked", "\u{1}Transfer-Encoding: chunked",
        "Transfer-Encoding", "Transfer-Encoding chunked", "Transfer-Encoding: chunked\r\n\tx",
        "Foo: bar\r\n\tTransfer-Encoding: chunked", "Transfer-Encoding:chunked\rX: y", "Transfer-Encoding: cow",
    ]
    corpus += codings.map { ("TE.TE \($0.debugDescription)", post("Content-Length: 5\r\n\($0)\r\n")) }
    corpus += codings.map { ("TE alone \($0.debugDescription)", post("\($0)\r\n")) }
    // The size of a chunk, or its end, read in two ways.
    let chunks = [
        "0x0\r\n\r\n", "+0\r\n\r\n", "-0\r\n\r\n", " 0\r\n\r\n", "0 \r\n\r\n", "0\t\r\n\r\n", "0\n\r\n", "0\n\n",
        "0\r\n\n", "0\r\r\n\r\n",
        "0\0\r\n\r\n", "00000000000000000000000\r\n\r\n", "100000000000000000\r\n\r\n", "ffffffffffffffff\r\n\r\n",
        "0_0\r\n\r\n", "0,0\r\n\r\n", "0;\n\r\n", "0;a\nb\r\n\r\n", "0;a\rb\r\n\r\n", "0 ;a\r\n\r\n", "0;a\0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "1\r\nX\n0\r\n\r\n", "1\r\nX0\r\n\r\n", "1\r\nXYZ0\r\n\r\n", "1\r\nX\r0\r\n\r\n", "1\nX\r\n0\r\n\r\n",
        "1;\nX\r\n0\r\n\r\n",
        "2;\n\nX\r\n0\r\n\r\n", "1;a=\"\nX\"\r\n0\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\n X: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n", "\u{E9}0\r\n\r\n",
    ]
    corpus += chunks.map { ("chunk \($0.debugDescription)", post("Transfer-Encoding: chunked\r\n", $0 + hidden)) }
    return corpus
}()
