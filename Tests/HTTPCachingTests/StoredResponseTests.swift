import HTTPCaching
import HTTPFields
import NIOCore
import Testing

@Suite("Stored responses")
struct StoredResponseTests {
    static func sample(
        status: Int = 200, reason: String = "OK", _ fields: [(String, [UInt8])], at time: Int64 = 0,
        variant: VariantKey = .invariant, extent: StoredResponse.Extent = .complete(length: 1),
        freshness: Freshness = Freshness(initialAge: 0, lifetime: 0, source: .none), tags: [String] = []
    ) throws -> StoredResponse {
        var head = try EncodedHead(status: status, reason: reason.utf8)
        for (name, value) in fields { try head.add(name: name.utf8, value: value) }
        return StoredResponse(
            head: head, requestTime: time, responseTime: time, variant: variant, extent: extent, freshness: freshness,
            tags: tags)
    }

    static func samples() throws -> [StoredResponse] {
        let varying = VariantKey(
            response: section([("Vary", "Foo, Accept")]),
            request: CacheRequest(
                method: .get, fields: section([(Array("Foo".utf8), [0x31, 0xFF, 0xC3])]), rule: CacheRule()))
        return [
            try Self.sample(
                [
                    ("Date", Array("Sun, 06 Nov 1994 08:49:37 GMT".utf8)), ("ETag", Array("W/\"x\"".utf8)),
                    ("Set-Cookie", Array("a=b".utf8)), ("set-cookie", Array("c=d".utf8)),
                    ("Last-Modified", Array("Sunday, 06-Nov-94 08:49:37 GMT".utf8)), ("X", []),
                    ("Latin-1", [0x77, 0xF6, 0x72, 0x6C, 0x64, 0xFF]), ("UTF-8", Array("wörld".utf8)),
                ], at: 784_111_777_500, variant: try #require(varying), extent: .complete(length: 12),
                freshness: Freshness(
                    initialAge: 1, lifetime: 2, source: .heuristic, flags: [.noCache, .immutable],
                    staleWhileRevalidate: 3, staleIfError: 4), tags: ["one", "two"]),
            try Self.sample(
                status: 299, reason: "Strange", [], at: .max, extent: .complete(length: nil),
                freshness: Freshness(initialAge: .max, lifetime: .max, source: .none)),
            try Self.sample(
                status: 404, reason: "", [("a", [0x62])], extent: .partial(first: 0, last: 0, total: 1), tags: ["t"]),
            try Self.sample(
                status: 206, reason: "Partial Content", [("a", [0x62])], extent: .partial(first: 5, last: 9, total: nil)
            ),
            try Self.sample(status: 204, reason: "No Content", [("a", [0x62])], extent: .complete(length: 0)),
        ]
    }

    @Test(arguments: try samples())
    func survivesTheCodec(response: StoredResponse) throws {
        var buffer = ByteBuffer()
        try response.encode(into: &buffer)
        let decoded = try StoredResponse(decoding: buffer)
        #expect(decoded == response)
        #expect(decoded.entityTag == response.entityTag)
        #expect(decoded.lastModified == response.lastModified)
        #expect(decoded.date == response.date)
        #expect(decoded.head.bytes == response.head.bytes)
    }

    @Test(arguments: try samples())
    func everyTruncationIsAnError(response: StoredResponse) throws {
        var buffer = ByteBuffer()
        try response.encode(into: &buffer)
        for length in 0..<buffer.readableBytes {
            let part = try #require(buffer.getSlice(at: buffer.readerIndex, length: length))
            #expect(throws: StoredResponseError.self) { try StoredResponse(decoding: part) }
        }
        buffer.writeInteger(UInt8(0))
        #expect(throws: StoredResponseError.trailingBytes) { try StoredResponse(decoding: buffer) }
    }

    @Test(arguments: try samples())
    func everyFlippedByteIsAnErrorOrAnotherValue(response: StoredResponse) throws {
        var buffer = ByteBuffer()
        try response.encode(into: &buffer)
        for index in buffer.readableBytesView.indices {
            for mask: UInt8 in [0x01, 0x80, 0xFF] {
                var broken = buffer
                let byte = try #require(broken.getInteger(at: index, as: UInt8.self))
                broken.setInteger(byte ^ mask, at: index)
                if let decoded = try? StoredResponse(decoding: broken) { #expect(decoded != response) }
            }
        }
    }

    @Test func refusesWhatTheFormatDoesNotAllow() throws {
        var buffer = ByteBuffer(string: "before")
        for response in [
            try Self.sample([], tags: (0...StoredResponse.maximumTags).map { String($0) }),
            try Self.sample([], tags: [String(repeating: "x", count: 70_000)]),
            try Self.sample([("a", [UInt8](repeating: 0x78, count: StoredResponse.maximumEncodedBytes))]),
            try Self.sample((0...StoredResponse.maximumFields).map { ("x\($0)", [0x79]) }),
        ] {
            #expect(throws: StoredResponseError.tooMany) { try response.encode(into: &buffer) }
        }
        #expect(buffer == ByteBuffer(string: "before"))
    }

    @Test("What another version wrote is refused, and so are fields that no version writes")
    func refusesWhatItDidNotWrite() throws {
        var buffer = ByteBuffer()
        try Self.sample([("Via-X", [0x79])]).encode(into: &buffer)
        var old = buffer
        old.setInteger(1 as UInt8, at: 0)
        #expect(throws: StoredResponseError.unknownVersion) { try StoredResponse(decoding: old) }
        let name = try #require(buffer.readableBytesView.firstIndex(of: UInt8(ascii: "V")))
        for (bytes, error) in [
            ("Via X", StoredResponseError.notAField), ("Via\r\n", .notAField), ("te", .notAField),
        ] {
            var damaged = buffer
            damaged.setBytes(Array((bytes + "     ").utf8.prefix(5)), at: name)
            #expect(throws: error) { try StoredResponse(decoding: damaged) }
        }
        var framed = ByteBuffer()
        try Self.sample([("Content-LengtX", Array("7".utf8))]).encode(into: &framed)
        let place = try #require(framed.readableBytesView.firstIndex(of: UInt8(ascii: "X")))
        framed.setInteger(UInt8(ascii: "h"), at: place)
        #expect(throws: StoredResponseError.badValue) { try StoredResponse(decoding: framed) }
    }

    @Test("The head is what goes out: status line and fields, byte for byte")
    func headIsEncoded() throws {
        let response = try Self.sample(reason: "Fein", [("A", [0xFF]), ("b", Array("2".utf8))])
        #expect(
            response.head.bytes
                == Array("HTTP/1.1 200 Fein\r\nA: ".utf8) + [0xFF] + Array("\r\nb: 2\r\n".utf8))
        let whole = answer(response, to: request())
        #expect(whole.head == response.head && whole.contentLength == 1)
        let empty = try Self.sample(status: 204, reason: "", [], extent: .complete(length: 0))
        #expect(empty.head.bytes == Array("HTTP/1.1 204 \r\n".utf8))
        #expect(answer(empty, to: request()).contentLength == nil)
    }

    @Test func factsComeFromItsFields() throws {
        let samples = try Self.samples()
        let response = samples[0]
        let tag = try #require(response.entityTag)
        #expect(tag.isWeak && response.head.bytes[tag.opaque].elementsEqual("x".utf8))
        #expect(response.lastModified == 784_111_777_000)
        #expect(response.date == 784_111_777_000)
        #expect(response.hasValidator)
        #expect(samples[2].date == 0)
        #expect(!samples[2].hasValidator)
        let twice = try Self.sample([("ETag", Array("\"x\"".utf8)), ("ETag", Array("\"y\"".utf8))])
        #expect(twice.entityTag == nil)
    }
}
