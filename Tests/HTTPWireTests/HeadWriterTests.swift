import HTTPFields
import HTTPWire
import NIOCore
import Testing

@Suite struct HeadWriterTests {
    /// Each accepted request, written and read again, is the same: method, target, fields, content, trailers.
    @Test func writtenRequestsReadTheSame() throws {
        for rule in requestCases {
            guard case .contents = rule.verdict else { continue }
            // HTTP/1.0 has to get a Host when it is written as 1.1: that is its reader's business.
            let input = bytes(rule.input.replacing("1.0\r\n\r\n", with: "1.0\r\nHost: a\r\n\r\n"))
            let written = try rewritten(input)
            let again = readRequests(Array(written.readableBytesView))
            #expect(again.map(normal) == readRequests(input).map(normal), "\(rule)")
        }
    }

    @Test func writtenResponsesReadTheSame() throws {
        for rule in responseCases {
            var parser = ResponseHeadParser()
            var buffer = ByteBuffer(bytes: bytes(rule.input))
            guard let head = try? parser.parse(&buffer) else { continue }
            var out = ByteBuffer()
            var writer = HeadWriter(head, to: &out)
            for field in head.fields { writer.add(field, of: head.fields, to: &out) }
            writer.finish(head.announced ?? .none, to: &out)
            let again = try #require(try parser.parse(&out))
            #expect(again.status == head.status && again.announced == head.announced)
            #expect(text(again.fields, again.reasonRange) == text(head.fields, head.reasonRange))
            #expect(plain(texts(again.fields)) == plain(texts(head.fields)))
            #expect(out.readableBytes == 0)
        }
    }

    @Test func headsAreWrittenAnew() throws {
        let head = try #require(
            parsed("GET http://a/x HTTP/1.7\r\nhost:a\r\nX-Y: \t z \r\ncontent-length: 007\r\nE:\r\n\r\n"))
        var out = ByteBuffer(string: "before ")
        var writer = try HeadWriter(head, target: ByteBuffer(string: "/x"), to: &out)
        for field in head.fields { writer.add(field, of: head.fields, to: &out) }
        try writer.add(.via, "1.1 edge".utf8, to: &out)
        try writer.add(name: "X-Own".utf8, value: [0x80, 0x09, 0x21], to: &out)
        writer.finish(head.framing, to: &out)
        #expect(
            latin1(out.readableBytesView)
                == "before GET /x HTTP/1.1\r\nhost: a\r\nX-Y: z\r\nE: \r\nVia: 1.1 edge\r\nX-Own: \u{80}\t!\r\n"
                + "Content-Length: 7\r\n\r\n")
        var plain = ByteBuffer()
        let second = try HeadWriter(method: "M".utf8, target: "*".utf8, to: &plain)
        second.finish(.chunked, to: &plain)
        let third = try HeadWriter(status: 404, reason: "\u{FF}".unicodeScalars.map { UInt8($0.value) }, to: &plain)
        third.finish(.untilClose, to: &plain)
        #expect(
            latin1(plain.readableBytesView)
                == "M * HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 404 \u{FF}\r\n\r\n")
        for length: Int64 in [0, 9, 10, 1234567890, .max] {
            var out = ByteBuffer()
            try HeadWriter(status: 200, reason: [], to: &out).finish(.length(length), to: &out)
            #expect(latin1(out.readableBytesView) == "HTTP/1.1 200 \r\nContent-Length: \(length)\r\n\r\n")
        }
    }

    /// No value begins a line of its own, and nothing but `finish` says where the content ends.
    @Test func nothingIsInjected() throws {
        var out = ByteBuffer()
        for method in ["", "G T", "G\r\nT", "G\u{E9}"] {
            #expect(throws: WriteFault.badMethod) {
                try HeadWriter(method: method.utf8, target: "/".utf8, to: &out).finish(.none, to: &out)
            }
        }
        for target in ["", "/ ", "/\r\n", "/\u{E9}", "/#", "/\u{7F}"] {
            #expect(throws: WriteFault.badTarget) {
                try HeadWriter(method: "GET".utf8, target: target.utf8, to: &out).finish(.none, to: &out)
            }
            let head = try #require(parsed("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            #expect(throws: WriteFault.badTarget) {
                try HeadWriter(head, target: ByteBuffer(string: target), to: &out).finish(.none, to: &out)
            }
        }
        for status in [99, 1000, -1] {
            #expect(throws: WriteFault.badStatus) {
                try HeadWriter(status: status, reason: [], to: &out).finish(.none, to: &out)
            }
        }
        #expect(throws: WriteFault.badReason) {
            try HeadWriter(status: 200, reason: "a\r\nb".utf8, to: &out).finish(.none, to: &out)
        }
        #expect(out.readableBytes == 0, "nothing of what was refused")

        func fault(_ name: String, _ value: String) throws -> WriteFault? {
            var out = ByteBuffer()
            var writer = try HeadWriter(status: 200, reason: [], to: &out)
            let before = out
            var found: WriteFault?
            do throws(WriteFault) {
                try writer.add(name: name.utf8, value: value.utf8, to: &out)
            } catch {
                found = error
                #expect(out == before)
            }
            writer.finish(.none, to: &out)
            return found
        }
        for name in ["", "a b", "a:", "a\r\nb", "\u{E9}"] { #expect(try fault(name, "") == .badFieldName) }
        for value in ["\r\n", "\r", "\n", "\0", "aaaaaaaaaaaa\u{7F}"] {
            #expect(try fault("a", value) == .badFieldValue)
        }
        for name in ["content-length", "TRANSFER-ENCODING"] { #expect(try fault(name, "1") == .framingField) }
        var writer = try HeadWriter(status: 200, reason: [], to: &out)
        #expect(throws: WriteFault.framingField) { try writer.add(.contentLength, "1".utf8, to: &out) }
        #expect(throws: WriteFault.badFieldValue) { try writer.add(.via, "1\n".utf8, to: &out) }
        writer.cancel(in: &out)
        #expect(out.readableBytes == 0)
    }

    @Test func chunks() throws {
        for count in [1, 9, 10, 15, 16, 255, 256, 65_535, 1 << 20] {
            var out = ByteBuffer()
            let data = ByteBuffer(repeating: 0x0A, count: count)
            ChunkWriter.write(data, to: &out)
            ChunkWriter.write(ByteBuffer(), to: &out)
            #expect(!ChunkWriter.writeStart(ofChunk: 0, to: &out))
            HeadWriter(lastChunkTo: &out).finish(.none, to: &out)
            #expect(out.readableBytes == String(count, radix: 16).utf8.count + 2 + count + 2 + 5)
            var parser = ChunkedParser(from: .origin)
            guard case .data(let read)? = try parser.next(&out), case .end(nil)? = try parser.next(&out) else {
                throw Unexpected()
            }
            #expect(read == data)
        }
    }
}

/// What a proxy does to requests: every head, chunk and trailer is written anew.
func rewritten(_ input: [UInt8]) throws -> ByteBuffer {
    var reader = RequestReader()
    reader.receive(ByteBuffer(bytes: input))
    var out = ByteBuffer()
    var framing = BodyFraming.none
    while let event = try reader.next() {
        switch event {
        case .head(let head):
            framing = head.framing
            var writer = try HeadWriter(head, to: &out)
            for field in head.fields { writer.add(field, of: head.fields, to: &out) }
            writer.finish(framing, to: &out)
        case .body(let part):
            if framing == .chunked { ChunkWriter.write(part, to: &out) } else { out.writeImmutableBuffer(part) }
        case .end(let trailers):
            guard framing == .chunked else { continue }
            var writer = HeadWriter(lastChunkTo: &out)
            if let trailers { for field in trailers { writer.add(field, of: trailers, to: &out) } }
            writer.finish(.none, to: &out)
        }
    }
    return out
}

/// Without the framing fields, which stand at another place, and with the one minor version that is written.
func normal(_ item: Item) -> Item {
    guard case .head(let line, let fields, let framing) = item else { return item }
    return .head(line: line.replacing(" 1.0", with: " 1.1"), fields: plain(fields), framing: framing)
}

func plain(_ fields: [String]) -> [String] {
    fields.filter { field in
        !["content-length:", "transfer-encoding:"].contains { field.lowercased().hasPrefix($0) }
    }
}
