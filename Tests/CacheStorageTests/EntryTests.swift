import HTTPCaching
import HTTPFields
import NIOCore
import Testing

@testable import CacheStorage

/// An entry as one block: what goes in comes out, whatever it is.
struct EntryTests {
    private static func response(
        head: EncodedHead = Sample.head([("Content-Type", "text/plain"), ("ETag", "W/\"x\"")]),
        requestTime: Int64 = 1_700_000_000_000, responseTime: Int64 = 1_700_000_000_040,
        extent: StoredResponse.Extent = .complete(length: 3), lifetime: Int64 = 3_600_000, initialAge: Int64 = 12,
        flags: Freshness.Flags = [], staleIfError: Int64 = 0, language: String? = nil, tags: [String] = []
    ) -> StoredResponse {
        StoredResponse(
            head: head, requestTime: requestTime, responseTime: responseTime,
            variant: Sample.variant(language: language), extent: extent,
            freshness: Freshness(
                initialAge: initialAge, lifetime: lifetime, source: .sharedMaxAge, flags: flags,
                staleWhileRevalidate: 60_000, staleIfError: staleIfError), tags: tags)
    }

    private static let dated = Sample.head([
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Last-Modified", "Sun, 06 Nov 1994 08:00:00 GMT"),
    ])

    static let responses: [StoredResponse] = [
        response(), response(head: dated),
        // A year; more than what fits into seconds; what is neither short nor whole seconds.
        response(lifetime: 31_536_000_000), response(lifetime: Int64.max), response(lifetime: 31_536_000_001),
        response(lifetime: Int64(1) << 31), response(lifetime: (Int64(1) << 31) - 1),
        response(lifetime: 2_147_483_648_000),
        response(initialAge: Int64.max, staleIfError: Int64.max),
        // Clocks that were set.
        response(requestTime: 5, responseTime: 4), response(requestTime: Int64.min, responseTime: Int64.max),
        response(head: dated, requestTime: 0, responseTime: 0),
        // Dates before 1970, and after 2106.
        response(head: Sample.head([("Last-Modified", "Sun, 06 Nov 1921 08:00:00 GMT")])),
        response(head: Sample.head([("Last-Modified", "Sun, 06 Nov 2194 08:00:00 GMT")])),
        response(head: Sample.head([("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")])),
        response(extent: .complete(length: nil)), response(extent: .complete(length: 4)),
        response(extent: .partial(first: 1, last: 3, total: 9)),
        response(extent: .partial(first: 1, last: 3, total: nil)),
        response(flags: [.noCache, .softlyPurged]), response(language: "de"), response(tags: ["a", "b"]),
        response(lifetime: 1_234_567_890_123, language: "fr", tags: ["a"]),
    ]

    @Test("A response comes out of its entry as it went in", arguments: responses)
    func response(_ response: StoredResponse) throws {
        for count in [0, 3, EntryBlock.bodyLimit - 1, EntryBlock.bodyLimit, 100_000] {
            let body: ByteBuffer = Sample.body(count, seed: 1)
            let entry = CachedResponse(key: Sample.key("a"), response: response, body: StoredBody(chunks: [body]))
            #expect(entry.response == response)
            #expect(entry.response.status == 200)
            #expect(entry.response.fields.count == response.fields.count)
            #expect(entry.body.length == count)
            #expect(try #require(entry.bytes) == body)
            let updated = CachedResponse(updating: entry, with: response.invalidated())
            #expect(updated.response == response.invalidated())
            #expect(try #require(updated.bytes) == body)
        }
    }

    @Test(
        "A key comes out as it went in, and is no other",
        arguments: [
            "https://a.test/x", "https://a.test", "https://a.test:8443/x", "http://a.test/x", "https://", "", "é",
        ])
    func key(_ uri: String) {
        for site in ["a.test", "b", "", "é"] {
            let key = CacheKey(site: site, uri: uri)
            let entry = CachedResponse(key: key, response: Self.response(), body: StoredBody(chunks: []))
            #expect(entry.key == key)
            #expect(entry.isKey(key))
            #expect(!entry.isKey(CacheKey(site: site + "x", uri: uri)))
            #expect(!entry.isKey(CacheKey(site: site, uri: uri + "x")))
            #expect(!entry.isKey(CacheKey(site: site, uri: String(uri.dropLast()) + "!")))
            #expect(!entry.isKey(CacheKey(site: site, uri: "h" + uri.dropFirst())) || uri.hasPrefix("h"))
            // The same text, other bytes.
            #expect(!entry.isKey(CacheKey(site: site, uri: "e\u{301}")))
        }
    }

    /// The URI of the entry is kept without its beginning, which another key may not have.
    @Test func keysThatDifferInTheirBeginningsDiffer() {
        let entry = CachedResponse(
            key: CacheKey(site: "a.test", uri: "https://a.test/x"), response: Self.response(),
            body: StoredBody(chunks: []))
        #expect(!entry.isKey(CacheKey(site: "a.test", uri: "https://b.test/x")))
        #expect(!entry.isKey(CacheKey(site: "a.test", uri: "https:/.a.test/x")))
    }

    @Test func aReaderGetsAPartOfASmallBody() throws {
        let body: ByteBuffer = Sample.body(1_000, seed: 1)
        let entry = CachedResponse(key: Sample.key("a"), response: Self.response(), body: StoredBody(chunks: [body]))
        let reader: BodyReader = entry.body.reader(range: 10..<300, on: InertLoop.loop, wake: {})
        guard case .bytes(let part) = reader.read() else {
            Issue.record("nothing to read")
            return
        }
        #expect(part == body.getSlice(at: 10, length: 290))
        guard case .end = reader.read() else {
            Issue.record("no end")
            return
        }
    }

    /// What a head gives out lives on without the entry.
    @Test func aHeadHoldsItsEntry() {
        var entry: CachedResponse? = CachedResponse(
            key: Sample.key("a"), response: Self.response(), body: StoredBody(chunks: [Sample.body(3, seed: 1)]))
        var head: EncodedHead? = entry?.response.head
        let (block, copy): (WeakBlock, EncodedHead?) = (WeakBlock(entry?.block), head)
        entry = nil
        #expect(block.isAlive)
        #expect(copy == Self.response().head)
        head?.add(.age, 3)
        #expect(head?.bytes == (copy?.bytes ?? []) + Array("Age: 3\r\n".utf8))
        #expect(head?.filtered { field, _ in field.known != .age } == copy)
    }
}

private final class WeakBlock {
    weak var block: EntryBlock?

    init(_ block: EntryBlock?) { self.block = block }

    var isAlive: Bool { self.block != nil }
}

/// The index of a shard, beside a dictionary.
struct EntryTableTests {
    private static func entry(_ number: Int) -> CachedResponse {
        CachedResponse(key: Sample.key("\(number)"), response: Sample.response(length: 0), body: StoredBody(chunks: []))
    }

    @Test("It holds what a dictionary holds", arguments: [UInt32(7), 0xFF, 0xFFFF_FFFF])
    func model(_ mask: UInt32) {
        var random = Lehmer(seed: UInt64(mask))
        var table = EntryTable()
        var model: [UInt32: CachedResponse] = [:]
        let entries: [CachedResponse] = (0..<20).map(Self.entry)
        for step in 0..<20_000 {
            // Neighbours, so that many have the same home; grows, shrinks, and grows again.
            let hash = UInt32.random(in: 0..<600, using: &random) &* 0x0100_0001 & mask
            let removes: Bool = UInt32.random(in: 0..<100, using: &random) < (step / 5_000 % 2 == 0 ? 30 : 80)
            let entry: CachedResponse? = removes ? nil : entries[step % entries.count]
            table.set(entry, for: hash)
            model[hash] = entry
            #expect(table.count == model.count)
        }
        for (hash, entry) in model { #expect(table[hash] === entry) }
        for number: UInt32 in 0..<1_000 where model[number & mask] == nil { #expect(table[number & mask] == nil) }
        var count = 0
        table.forEach { _ in count += 1 }
        #expect(count == model.count)
        for hash in model.keys { table.set(nil, for: hash) }
        #expect(table.count == 0)
        #expect(table[1] == nil)
    }
}

extension EntryTests {
    @Test("An entry whose new numbers are out of the ordinary does not keep the block of the one that it replaces")
    func wideAfterNarrow() throws {
        let key = Sample.key("a")
        weak var block: EntryBlock?
        let later: CachedResponse
        do {
            let first = CachedResponse(
                key: key, response: Self.response(), body: StoredBody(chunks: [Sample.body(3, seed: 1)]))
            block = first.block
            #expect(block != nil)
            later = CachedResponse(
                key: key, response: Self.response(head: first.response.head, lifetime: 31_536_000_001),
                body: StoredBody(chunks: [Sample.body(3, seed: 1)]))
        }
        #expect(block == nil)
        #expect(later.response.freshness.lifetime == 31_536_000_001)
    }
}
