import HTTPCaching
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

@Suite struct PurgeTests {
    private func filled() -> ResponseStore {
        let store = ResponseStore()
        store.fill("a/1", tags: ["red"])
        store.fill("a/2", tags: ["red", "blue"])
        store.fill("b/1", tags: ["blue"])
        store.fill("a/1", site: "other", tags: ["red"])
        return store
    }

    private static let everyPath: [(String, String)] = [
        ("a/1", "example"), ("a/2", "example"), ("b/1", "example"), ("a/1", "other"),
    ]

    private func held(_ store: ResponseStore) -> [Bool] {
        Self.everyPath.map { store.holds($0.0, site: $0.1) }
    }

    @Test func eachScopeRemovesWhatItNames() {
        let cases: [(PurgeScope, [Bool])] = [
            (.key(Sample.key("a/1")), [false, true, true, true]),
            (.prefix(site: "example", uri: "https://www.example.test/a/"), [false, false, true, true]),
            (.prefix(site: "other", uri: "https://www.example.test/a/"), [true, true, true, true]),
            (.host("www.example.test"), [false, false, false, true]),
            (.host("example.test"), [true, true, true, true]),
            (.site("other"), [true, true, true, false]),
            (.tag("red", site: nil), [false, false, true, false]),
            (.tag("red", site: "example"), [false, false, true, true]),
            (.tag("green", site: nil), [true, true, true, true]),
            (.everything, [false, false, false, false]),
        ]
        for (scope, expected) in cases {
            let store: ResponseStore = self.filled()
            let result: PurgeResult = store.purge(scope, .remove)
            #expect(self.held(store) == expected, "\(scope)")
            #expect(result.memoryEntries == expected.filter { !$0 }.count, "\(scope)")
            #expect(store.statistics.memoryEntries == expected.filter { $0 }.count)
            store.purge(.everything, .remove)
            #expect(store.statistics.memoryBytes == 0)
            #expect(store.siteUsage.isEmpty)
        }
    }

    @Test func aPrefixEndsWhereItsBytesEnd() {
        let store = ResponseStore()
        // A combining mark joins the slash before it to one character.
        let key = CacheKey(site: "example", uri: "https://www.example.test/a/\u{301}b")
        store.fill(key, Sample.response(length: 1), Sample.body(1, seed: 1))
        #expect(store.purge(.prefix(site: "example", uri: "https://www.example.test/a/"), .remove).memoryEntries == 1)
        store.fill(key, Sample.response(length: 1), Sample.body(1, seed: 1))
        #expect(store.purge(.host("www.example.test"), .remove).memoryEntries == 1)
    }

    @Test func requestsForEquivalentTextsAreNotTakenForOne() {
        let key = Sample.key("a")
        #expect(
            MemoryShard.FlightKey(key: key, variant: Sample.variant(language: "K"))
                != MemoryShard.FlightKey(key: key, variant: Sample.variant(language: "\u{212A}")))
    }

    @Test func allVariantsOfAKeyGo() {
        let store = ResponseStore()
        for language in ["de", "fr"] {
            store.fill(Sample.key("a"), Sample.response(length: 1, language: language), Sample.body(1, seed: 1))
        }
        #expect(store.purge(.key(Sample.key("a")), .remove).memoryEntries == 2)
        #expect(!store.holds("a"))
    }

    @Test func softPurgesLeaveAMark() throws {
        let store: ResponseStore = self.filled()
        #expect(store.purge(.tag("red", site: "example"), .markStale(at: 60_000)).memoryEntries == 2)
        #expect(store.purge(.key(Sample.key("b/1")), .invalidate).memoryEntries == 1)
        #expect(self.held(store) == [true, true, true, true])
        func stored(_ path: String, _ site: String) throws -> StoredResponse {
            try #require(store.lookup(Sample.key(path, site: site)).first).response
        }
        #expect(try !stored("a/1", "example").isFresh(at: 60_000))
        #expect(try stored("a/2", "example").freshness.lifetime == 59_000)
        #expect(try stored("b/1", "example").freshness.flags == .invalidated)
        #expect(try stored("a/1", "other").isFresh(at: 60_000))
        store.purge(.tag("red", site: nil), .remove)
        #expect(self.held(store) == [false, false, true, false])
    }

    @Test(arguments: [PurgeKind.remove, .markStale(at: 500), .invalidate])
    func aFillUnderWayIsNotStoredAsFresh(kind: PurgeKind) throws {
        let scopes: [PurgeScope] = [
            .key(Sample.key("a")), .prefix(site: "example", uri: "https://www.example.test/"),
            .host("www.example.test"), .site("example"), .tag("red", site: nil), .everything,
        ]
        for scope in scopes {
            for headFirst in [true, false] {
                let store = ResponseStore()
                guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
                if headFirst { writer.begin(Sample.response(length: 10, tags: ["red"])) }
                #expect(store.purge(scope, kind).fills == 1)
                guard case .lead(let second) = store.flight(for: Sample.key("a"), now: 0) else {
                    Issue.record("joined a response from before the purge")
                    return
                }
                second.begin(Sample.response(length: 10, tags: ["red"], etag: "\"new\""))
                if !headFirst { writer.begin(Sample.response(length: 10, tags: ["red"])) }
                _ = writer.append(Sample.body(10, seed: 1))
                switch (writer.finish(), kind) {
                case (.notStored(.purged), .remove): #expect(!store.holds("a"))
                case (.stored(let entry), .markStale): #expect(!entry.response.isFresh(at: 1_000))
                case (.stored(let entry), .invalidate): #expect(entry.response.freshness.flags == .invalidated)
                default: Issue.record("\(scope) \(kind)")
                }
                _ = second.append(Sample.body(10, seed: 2))
                guard case .stored(let entry) = second.finish() else {
                    Issue.record("what was asked for after the purge is not stored")
                    return
                }
                #expect(entry.response.isFresh(at: 1_000))
                #expect(store.lookup(Sample.key("a")).count == 1)
            }
        }
    }

    @Test func purgesOfOthersLeaveAFillAlone() {
        let store = ResponseStore()
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        writer.begin(Sample.response(length: 10, tags: ["red"]))
        let scopes: [PurgeScope] = [
            .key(Sample.key("b")), .prefix(site: "example", uri: "https://www.example.test/b"),
            .host("www.other.test"), .site("other"), .tag("blue", site: nil), .tag("red", site: "other"),
        ]
        for scope in scopes { #expect(store.purge(scope, .remove).fills == 0) }
        _ = writer.append(Sample.body(10, seed: 1))
        guard case .stored = writer.finish() else {
            Issue.record("not stored")
            return
        }
    }

    @Test func aValidationFromBeforeAPurgeDoesNotUndoIt() throws {
        for kind in [PurgeKind.remove, .markStale(at: 6)] {
            let store = ResponseStore()
            store.fill("a")
            let old: CachedResponse = try #require(store.lookup(Sample.key("a")).first)
            guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
            store.purge(.key(Sample.key("a")), kind)
            writer.validated(old, response: Sample.response(length: 100, time: 5))
            let now: CachedResponse? = store.lookup(Sample.key("a")).first
            if kind == .remove {
                #expect(now == nil)
            } else {
                #expect(now?.response.isFresh(at: 6) == false)
                #expect(store.statistics.memoryEntries == 1)
            }
        }
    }

    @Test func aFillOlderThanAllRememberedPurgesIsNotStored() {
        let store = ResponseStore()
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        writer.begin(Sample.response(length: 0))
        for number in 0..<2_000 { store.purge(.tag("other \(number)", site: nil), .remove) }
        guard case .notStored(.purged) = writer.finish() else {
            Issue.record("stored")
            return
        }
    }

    /// Every unsafe request purges a key: many of them must not keep others from being stored.
    @Test func manyPurgesOfOtherKeysDoNotMatter() {
        let store = ResponseStore()
        guard case .lead(let writer) = store.flight(for: Sample.key("a"), now: 0) else { return }
        writer.begin(Sample.response(length: 0))
        for number in 0..<5_000 { store.purge(.key(Sample.key("other/\(number)")), .invalidate) }
        guard case .stored(let entry) = writer.finish() else {
            Issue.record("not stored")
            return
        }
        #expect(entry.response.isFresh(at: 1_000))
    }

    @Test func purgesOfMoreKeysThanAreRememberedErrOnTheSafeSide() {
        var log = PurgeLog()
        let first: CacheKey = Sample.key("first")
        log.append(.key(first), .remove, hasDisk: false)
        for number in 0..<PurgeLog.keyCapacity {
            log.append(.key(Sample.key("\(number)")), .invalidate, hasDisk: false)
        }
        #expect(log.verdict(since: 0, key: Sample.key("never purged"), tags: []) == .removed)
        let now: UInt64 = log.generation
        #expect(log.verdict(since: now - 1_000, key: Sample.key("never purged"), tags: []) == .untouched)
        #expect(log.verdict(since: now, key: first, tags: []) == .untouched)
        log.append(.key(first), .markStale(at: 77), hasDisk: false)
        #expect(log.verdict(since: now, key: first, tags: []) == .marked(PurgeMarks(staleAt: 77)))
        #expect(log.verdict(since: now, key: Sample.key("0"), tags: []) == .untouched)
    }
}
