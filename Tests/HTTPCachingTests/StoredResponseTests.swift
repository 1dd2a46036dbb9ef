import HTTPCaching
import NIOCore
import NIOHTTP1
import Testing

@Suite("Stored responses")
struct StoredResponseTests {
    static let samples: [StoredResponse] = [
        StoredResponse(
            status: .ok,
            fields: [
                "Date": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": "W/\"x\"", "Set-Cookie": "a=b", "set-cookie": "c=d",
                "Last-Modified": "Sunday, 06-Nov-94 08:49:37 GMT", "X": "", "Ünïcode": "wörld",
            ],
            requestTime: 784_111_000_000, responseTime: 784_111_777_500,
            variant: VariantKey(response: ["Vary": "Foo, Accept"], request: ["Foo": "1"]) ?? .invariant,
            extent: .complete(length: 12),
            freshness: Freshness(
                initialAge: 1, lifetime: 2, source: .heuristic, flags: [.noCache, .immutable], staleWhileRevalidate: 3,
                staleIfError: 4),
            tags: ["one", "two"]),
        StoredResponse(
            status: .custom(code: 299, reasonPhrase: "Strange"), fields: [:], requestTime: .min, responseTime: .max,
            variant: .invariant, extent: .complete(length: nil),
            freshness: Freshness(initialAge: .max, lifetime: .max, source: .none), tags: []),
        StoredResponse(
            status: .custom(code: 404, reasonPhrase: "Gone fishing"), fields: ["a": "b"], requestTime: 0,
            responseTime: 0, variant: .invariant, extent: .partial(first: 0, last: 0, total: 1),
            freshness: Freshness(initialAge: 0, lifetime: 0, source: .negative), tags: ["t"]),
        StoredResponse(
            status: .partialContent, fields: ["a": "b"], requestTime: 0, responseTime: 0, variant: .invariant,
            extent: .partial(first: 5, last: 9, total: nil),
            freshness: Freshness(initialAge: 0, lifetime: 0, source: .expires), tags: []),
    ]

    @Test(arguments: samples)
    func survivesTheCodec(response: StoredResponse) throws {
        var buffer = ByteBuffer()
        try response.encode(into: &buffer)
        let decoded = try StoredResponse(decoding: buffer)
        #expect(decoded == response)
        #expect(decoded.entityTag == response.entityTag)
        #expect(decoded.lastModified == response.lastModified)
        #expect(decoded.date == response.date)
    }

    @Test(arguments: samples)
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

    @Test(arguments: samples)
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

    @Test func refusesWhatTheFormatDoesNotAllow() {
        var response = Self.samples[0]
        response.tags = (0...StoredResponse.maximumTags).map { String($0) }
        var buffer = ByteBuffer(string: "before")
        #expect(throws: StoredResponseError.tooMany) { try response.encode(into: &buffer) }
        response.tags = [String(repeating: "x", count: 70_000)]
        #expect(throws: StoredResponseError.tooMany) { try response.encode(into: &buffer) }
        response.tags = []
        response.fields = ["a": String(repeating: "x", count: StoredResponse.maximumEncodedBytes)]
        #expect(throws: StoredResponseError.tooMany) { try response.encode(into: &buffer) }
        #expect(buffer == ByteBuffer(string: "before"))
    }

    @Test func factsComeFromItsFields() {
        let response = Self.samples[0]
        #expect(response.entityTag == EntityTag(isWeak: true, opaque: "x"))
        #expect(response.lastModified == 784_111_777_000)
        #expect(response.date == 784_111_777_000)
        #expect(response.hasValidator)
        #expect(Self.samples[2].date == 0)
        #expect(!Self.samples[2].hasValidator)
        var twice = response
        twice.fields.add(name: "ETag", value: "\"y\"")
        let read = StoredResponse(
            status: twice.status, fields: twice.fields, requestTime: 0, responseTime: 0, variant: .invariant,
            extent: .complete(length: 1), freshness: response.freshness, tags: [])
        #expect(read.entityTag == nil)
    }
}
