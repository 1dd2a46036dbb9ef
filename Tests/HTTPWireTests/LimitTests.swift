import HTTPFields
import HTTPWire
import NIOCore
import TestSockets
import Testing

/// Every limit, one byte below and one above, whole and byte by byte.
@Suite struct LimitTests {
    private func check(_ input: String, _ limits: WireLimits, _ expected: RequestCase.Verdict) {
        let input = bytes(input)
        #expect(verdict(readRequests(input, limits: limits)) == expected)
        #expect(verdict(readRequests(input, cuts: Array(input.indices), limits: limits)) == expected)
    }

    @Test func requestLine() {
        let line = "GET /" + String(repeating: "a", count: 50) + " HTTP/1.1\r\n"
        let input = line + "Host: a\r\n\r\n"
        self.check(input, WireLimits(startLineBytes: line.utf8.count), .contents([""]))
        self.check(input, WireLimits(startLineBytes: line.utf8.count - 1), .refused(.targetTooLong, 414))
        self.check("\r\n" + input, WireLimits(startLineBytes: line.utf8.count), .contents([""]))
        self.check(String(repeating: "M", count: 100), WireLimits(startLineBytes: 100), .refused(.methodTooLong, 501))
        self.check(
            "GET /" + String(repeating: "a", count: 95), WireLimits(startLineBytes: 100), .refused(.targetTooLong, 414))
        // A fault within the limit is the verdict.
        self.check(
            "GET /\u{1}" + String(repeating: "a", count: 95), WireLimits(startLineBytes: 100), .refused(.badTarget, 400)
        )
        self.check(
            "GET /" + String(repeating: "a", count: 95) + "\u{1}", WireLimits(startLineBytes: 100),
            .refused(.targetTooLong, 414))
    }

    @Test func statusLine() {
        let input = bytes("HTTP/1.1 200 " + String(repeating: "a", count: 100) + "\r\n\r\n")
        #expect(readResponses(input, limits: WireLimits(startLineBytes: 115)).fault == nil)
        #expect(readResponses(input, limits: WireLimits(startLineBytes: 114)) == [.refused(.startLineTooLong, 502)])
    }

    @Test func headBytes() {
        let input = "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: " ", count: 50) + "b\r\n\r\n"
        self.check(input, WireLimits(headBytes: input.utf8.count), .contents([""]))
        self.check(input, WireLimits(headBytes: input.utf8.count - 1), .refused(.headTooLarge, 431))
        self.check(input, WireLimits(headBytes: 40), .refused(.headTooLarge, 431))
        self.check(input, WireLimits(headBytes: 10), .refused(.headTooLarge, 431))
        self.check(input, WireLimits(headBytes: 0), .refused(.headTooLarge, 431))
        // Each head has its own.
        self.check(input + input, WireLimits(headBytes: input.utf8.count), .contents(["", ""]))
    }

    @Test func numberOfFields() {
        let input = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n"
        self.check(input, WireLimits(fields: 3), .contents([""]))
        self.check(input, WireLimits(fields: 2), .refused(.tooManyFields, 431))
    }

    @Test func trailers() {
        let start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        let trailers = "A: b\r\nC: d\r\n\r\n"
        self.check(start + trailers, WireLimits(trailerBytes: trailers.utf8.count), .contents([""]))
        self.check(
            start + trailers, WireLimits(trailerBytes: trailers.utf8.count - 1), .refused(.trailersTooLarge, 431))
        self.check(start + trailers, WireLimits(trailers: 2), .contents([""]))
        self.check(start + trailers, WireLimits(trailers: 1), .refused(.tooManyTrailers, 431))
        self.check(start + "\r\n", WireLimits(trailerBytes: 2, trailers: 0), .contents([""]))
    }

    @Test func extensions() {
        let start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        let one = start + "1;abc\r\nx\r\n0\r\n\r\n"
        self.check(one, WireLimits(chunkExtensionBytes: 4), .contents(["x"]))
        self.check(one, WireLimits(chunkExtensionBytes: 3), .refused(.chunkExtensionsTooLong, 400))
        self.check(one, WireLimits(chunkExtensionBytes: 0), .refused(.chunkExtensionsTooLong, 400))
        self.check(one, WireLimits(bodyExtensionBytes: 4), .contents(["x"]))
        self.check(one, WireLimits(bodyExtensionBytes: 3), .refused(.chunkExtensionsTooLong, 400))
        // Many small chunks with extensions are an attack on the reader; large ones pay for theirs.
        let small = start + String(repeating: "1;abc\r\nx\r\n", count: 5)
        self.check(small, WireLimits(bodyExtensionBytes: 19), .refused(.chunkExtensionsTooLong, 400))
        let data = String(repeating: "x", count: 256)
        let large = start + String(repeating: "100;abc\r\n\(data)\r\n", count: 5) + "0\r\n\r\n"
        self.check(large, WireLimits(bodyExtensionBytes: 4), .contents([String(repeating: data, count: 5)]))
    }

    @Test func informationalResponses() {
        let input = String(repeating: "HTTP/1.1 103 \r\n\r\n", count: 3) + "HTTP/1.1 204 \r\n\r\n"
        #expect(readResponses(bytes(input), limits: WireLimits(informationalResponses: 3)).fault == nil)
        #expect(
            readResponses(bytes(input), limits: WireLimits(informationalResponses: 2)).fault == .tooManyInformational)
    }

    /// A client that sends single bytes costs no more than the head's length, and what waits is no more than the limits.
    @Test func costIsLinearAndMemoryBounded() throws {
        func time(_ count: Int) throws -> Duration {
            var reader = RequestReader(limits: WireLimits(startLineBytes: 1 << 20, headBytes: 1 << 20))
            let head = "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: count)
            let parts = head.utf8.map { ByteBuffer(integer: $0) }
            return try processorTime {
                for part in parts {
                    reader.receive(part)
                    let event = try reader.next()
                    #expect(event == nil)
                }
            }
        }
        // 32 times the bytes: 32 times the time, where a scan from the start of the value takes ten times as much. The best of
        // several rounds, and far from both, since other work may run on the machine.
        let short = try (0..<5).map { _ in try time(3_000) }.min() ?? .zero
        let long = try (0..<2).map { _ in try time(96_000) }.min() ?? .zero
        #expect(long / short < 100)

        // What a reader holds is what came and was not consumed.
        var reader = RequestReader()
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for round in 0..<1000 {
            // Cut within the head, so that there is always a rest.
            reader.receive(ByteBuffer(string: round == 0 ? request + "GET" : request.dropFirst(3) + "GET"))
            while try reader.next() != nil {}
            #expect(reader.bufferedBytes == 3)
        }
    }
}
