import HTTPCaching
import NIOCore
import Testing

@testable import CacheStorage

@Suite struct MemoryStoreTests {
    @Test func storesWhatWasFilled() throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        #expect(store.lookup(key).isEmpty)
        let body: ByteBuffer = Sample.body(100_000, seed: 1)
        guard case .stored(let entry)? = store.fill(key, Sample.response(length: 100_000), body) else {
            Issue.record("not stored")
            return
        }
        #expect(store.lookup(key).first === entry)
        #expect(entry.bytes == body)
        #expect(entry.body.length == 100_000)
        #expect(store.statistics.memoryEntries == 1)
        #expect(store.statistics.memoryBytes >= 100_000)
        #expect(store.statistics.fillBytes == 0)
        #expect(store.statistics.fills == 0)
    }

    @Test func aBodyOfUnknownLengthGetsItsLength() throws {
        let store = ResponseStore()
        store.fill(Sample.key("a"), Sample.response(length: nil), Sample.body(777, seed: 2))
        let entry: CachedResponse = try #require(store.lookup(Sample.key("a")).first)
        #expect(entry.response.bodyLength == 777)
    }

    @Test func aWrongLengthIsNeverStored() throws {
        let store = ResponseStore()
        for announced in [99, 101] {
            let result: FillResult? = store.fill(
                Sample.key("a"), Sample.response(length: announced), Sample.body(100, seed: 1))
            guard case .failed(.lengthMismatch(announced, 100))? = result else {
                Issue.record("\(String(describing: result))")
                return
            }
        }
        #expect(store.lookup(Sample.key("a")).isEmpty)
        #expect(store.statistics.fills == 0)
        #expect(store.statistics.fillBytes == 0)
    }

    @Test func variantsStandSideBySideAndAreReplaced() throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        for language in ["de", "fr", "de"] {
            store.fill(key, Sample.response(length: 10, language: language), Sample.body(10, seed: 3))
        }
        #expect(store.lookup(key).count == 2)
        #expect(store.lookup(key).first?.language == "de")
        #expect(store.statistics.memoryEntries == 2)
    }

    @Test func variantsAreBounded() throws {
        let store = ResponseStore(limits: StoreLimits(variantsPerKey: 3))
        let key: CacheKey = Sample.key("a")
        for number in 0..<10 {
            store.fill(key, Sample.response(length: 10, language: "l\(number)"), Sample.body(10, seed: 3))
        }
        let values: [String?] = store.lookup(key).map(\.language)
        #expect(values == ["l9", "l8", "l7"])
    }

    @Test func metadataAreReplacedAndTheBodyShared() throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        store.fill("a", bytes: 5_000)
        let old: CachedResponse = try #require(store.lookup(key).first)
        guard case .lead(let writer) = store.flight(for: key, now: 0) else {
            Issue.record("no lead")
            return
        }
        let fresh: CachedResponse = writer.validated(old, response: Sample.response(length: 5_000, etag: "\"2\""))
        let now: CachedResponse = try #require(store.lookup(key).first)
        #expect(now === fresh)
        #expect(now.tag == "2")
        #expect(now.bytes == old.bytes)
        #expect(old.tag == "1")
        #expect(store.statistics.memoryEntries == 1)
        #expect(store.statistics.fills == 0)
    }

    @Test func aConfirmedEntryIsStoredAgainUnlessANewerOneIsThere() throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        store.fill("a", bytes: 50)
        let old: CachedResponse = try #require(store.lookup(key).first)
        store.purge(.key(key), .remove)
        store.update(old, with: Sample.response(length: 50, time: 2_000), since: store.generation)
        #expect(store.lookup(key).first?.response.responseTime == 2_000)
        store.fill(key, Sample.response(length: 70, time: 5_000), Sample.body(70, seed: 1))
        store.update(old, with: Sample.response(length: 50, time: 4_000), since: store.generation)
        #expect(store.lookup(key).map { $0.response.responseTime } == [5_000])
    }

    @Test func bytesAreBounded() throws {
        let store = ResponseStore(limits: StoreLimits(memoryBytes: 1 << 20))
        for number in 0..<500 {
            store.fill("\(number)", bytes: 10_000)
            #expect(store.statistics.memoryBytes <= 1 << 20)
        }
        #expect(store.statistics.memoryEntries > 50)
        #expect(store.statistics.evictions > 300)
        #expect(store.holds("499"))
        #expect(!store.holds("0"))
    }

    @Test func whatIsUsedStays() throws {
        let store = ResponseStore(limits: StoreLimits(memoryBytes: 1 << 20))
        store.fill("used", bytes: 10_000)
        for number in 0..<500 {
            store.lookup(Sample.key("used")).first?.recordUse()
            store.fill("\(number)", bytes: 10_000)
        }
        #expect(store.holds("used"))
    }

    @Test func aSiteStaysWithinItsShare() throws {
        let store = ResponseStore(
            limits: StoreLimits(memoryBytes: 4 << 20, shares: SiteShares(["big": 0.5], others: 0.25)))
        for number in 0..<400 {
            for site in ["big", "one", "two"] { store.fill("\(number)", site: site, bytes: 10_000) }
        }
        let usage: [String: SiteUsage] = store.siteUsage
        #expect(try #require(usage["big"]).bytes <= 2 << 20)
        #expect(try #require(usage["big"]).bytes > (2 << 20) - 40_000)
        #expect(try #require(usage["one"]).bytes <= 1 << 20)
        #expect(try #require(usage["two"]).bytes > (1 << 20) - 40_000)

        store.apply(SiteShares(["big": 0.125], others: 0.25))
        #expect(try #require(store.siteUsage["big"]).bytes <= 1 << 19)
        #expect(store.siteUsage["one"] == usage["one"])
        store.fill("last", site: "big", bytes: 10_000)
        #expect(try #require(store.siteUsage["big"]).bytes <= 1 << 19)
    }

    @Test func aBodyTooLargeForMemoryIsNotStored() throws {
        let store = ResponseStore(limits: StoreLimits(memoryObjectBytes: 10_000))
        guard case .notStored(.tooLarge)? = store.fill("a", bytes: 10_001) else {
            Issue.record("stored")
            return
        }
        guard case .stored? = store.fill("b", bytes: 10_000) else {
            Issue.record("not stored")
            return
        }
    }

    @Test func smallBuffersDoNotCostMoreThanTheyAreCountedFor() throws {
        let store = ResponseStore()
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        writer.begin(Sample.response(length: nil))
        let body: ByteBuffer = Sample.body(70_000, seed: 4)
        for index in 0..<70_000 {
            _ = writer.append(try #require(body.getSlice(at: index, length: 1)))
        }
        guard case .stored(let entry) = writer.finish() else {
            Issue.record("not stored")
            return
        }
        #expect(entry.bytes == body)
        #expect(try #require(entry.body.chunks).count <= 4)
        #expect(store.statistics.memoryBytes < 82_000)
    }

    @Test(arguments: [1, 100, 1024, 1025, 1500, 3000, 5000, 40_000, 65_536, 65_537, 100_000, 1_000_000])
    func littleIsWasted(length: Int) throws {
        let store = ResponseStore()
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        writer.begin(Sample.response(length: nil))
        var body: ByteBuffer = Sample.body(length, seed: 5)
        let copy: ByteBuffer = body
        while let piece = body.readSlice(length: min(9_000, max(body.readableBytes, 1))) { _ = writer.append(piece) }
        guard case .stored(let entry) = writer.finish() else {
            Issue.record("not stored")
            return
        }
        #expect(entry.bytes == copy)
        #expect(entry.cost <= length + length / 8 + 1024)
    }

    @Test func aReaderGivesAnyRange() throws {
        let store = ResponseStore()
        store.fill("a", bytes: 200_000)
        let entry: CachedResponse = try #require(store.lookup(Sample.key("a")).first)
        let whole: ByteBuffer = try #require(entry.bytes)
        let loop = InertLoop.loop
        for range in [0..<200_000, 0..<1, 199_999..<200_000, 65_535..<65_537, 70_000..<190_000, 5..<5] {
            let reader: BodyReader = entry.body.reader(range: range, on: loop, wake: {})
            var read = ByteBuffer()
            reading: while true {
                switch reader.read(atMost: 10_000) {
                case .bytes(var bytes):
                    #expect(bytes.readableBytes <= 10_000)
                    read.writeBuffer(&bytes)
                case .end: break reading
                case .pending, .truncated:
                    Issue.record("neither bytes nor end")
                    break reading
                }
            }
            #expect(read == whole.getSlice(at: range.lowerBound, length: range.count) ?? ByteBuffer())
        }
    }

    @Test func unsharedKeysSendRequestsOnTheirOwn() throws {
        let store = ResponseStore()
        let key: CacheKey = Sample.key("a")
        store.markUnshared(key, until: 1_000)
        guard case .alone = store.flight(for: key, now: 999) else {
            Issue.record("not alone")
            return
        }
        guard case .lead(let writer) = store.flight(for: key, now: 1_000) else {
            Issue.record("no lead")
            return
        }
        writer.fail(.originFailed("test"))
        store.markUnshared(key, until: 1_000)
        store.purge(.key(key), .remove)
        guard case .lead = store.flight(for: key, now: 0) else {
            Issue.record("no lead after a purge")
            return
        }
    }
}
