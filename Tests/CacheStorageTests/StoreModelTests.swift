import HTTPCaching
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import CacheStorage

/// Random operations, compared with a plain model after each.
@Suite struct StoreModelTests {
    private struct Slot: Hashable {
        var path: String
        var site: String
        var language: String?
    }

    private struct Stored {
        var bytes: ByteBuffer
        var tags: Set<String>
        var isFresh = true
    }

    private static let paths: [String] = (0..<40).map { "\($0 % 4)/\($0)" }
    private static let sites: [String] = ["example", "other", "third"]
    private static let tags: [String] = ["red", "blue", "green"]

    /// With room for everything the store and the model hold the same; with little room the store holds a part of it.
    @Test(arguments: [(64 << 20, 1), (64 << 20, 2), (1 << 20, 3), (1 << 20, 4)] as [(Int, UInt64)])
    func agreesWithTheModel(memoryBytes: Int, seed: UInt64) throws {
        var random = Lehmer(seed: seed)
        let limits = StoreLimits(memoryBytes: memoryBytes, shares: SiteShares(others: memoryBytes > 8 << 20 ? 1 : 0.5))
        let store = ResponseStore(limits: limits)
        var model: [Slot: Stored] = [:]
        let isWhole: Bool = memoryBytes > 8 << 20
        for step in 0..<1_500 {
            let path: String = Self.paths.randomElement(using: &random) ?? ""
            let site: String = Self.sites.randomElement(using: &random) ?? ""
            let key: CacheKey = Sample.key(path, site: site)
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<60:
                let language: String? = [nil, "de", "fr"].randomElement(using: &random) ?? nil
                let count = Int.random(in: 0..<40_000, using: &random)
                let body: ByteBuffer = Sample.body(count, seed: UInt64(step))
                let tags: [String] = Self.tags.filter { _ in Bool.random(using: &random) }
                store.fill(key, Sample.response(length: count, language: language, tags: tags), body)
                model[Slot(path: path, site: site, language: language)] = Stored(
                    bytes: body, tags: Set(tags))
            case 60..<80:
                store.lookup(key).forEach { $0.recordUse() }
            case 80..<90:
                guard let entry = store.lookup(key).randomElement(using: &random) else { break }
                var response: StoredResponse = entry.response
                response.responseTime += 1
                response.freshness = Sample.response(length: 0).freshness
                response.tags = [Self.tags.randomElement(using: &random) ?? ""]
                store.update(entry, with: response, since: store.generation)
                model[Slot(path: path, site: site, language: entry.language)]?.tags = Set(response.tags)
                model[Slot(path: path, site: site, language: entry.language)]?.isFresh = true
            default:
                let tag: String = Self.tags.randomElement(using: &random) ?? ""
                let scopes: [PurgeScope] = [
                    .key(key), .tag(tag, site: nil), .tag(tag, site: site),
                    .prefix(site: site, uri: "https://www.\(site).test/\(Int.random(in: 0..<4, using: &random))/"),
                    .host("www.\(site).test"), .site(site),
                ]
                // Large scopes are rare, or nothing would ever be stored.
                let scope: PurgeScope = scopes[min(Int.random(in: 0..<12, using: &random), 11) % 6]
                let kind: PurgeKind =
                    [.remove, .markStale(at: 1_000), .invalidate].randomElement(using: &random) ?? .remove
                store.purge(scope, kind)
                for (slot, stored) in model
                where scope.covers(Sample.key(slot.path, site: slot.site), tags: Array(stored.tags)) {
                    if kind == .remove {
                        model[slot] = nil
                    } else {
                        model[slot]?.isFresh = false
                    }
                }
            }
            try Self.compare(store, model, isWhole: isWhole, limits: limits, every: step % 10 == 0)
        }
        store.purge(.everything, .remove)
        #expect(store.statistics.memoryBytes == 0)
        #expect(store.memory.ledger.withLockedValue { $0.tagCount } == 0)
        #expect(store.siteUsage.isEmpty)
    }

    private static func compare(
        _ store: ResponseStore, _ model: [Slot: Stored], isWhole: Bool, limits: StoreLimits, every: Bool
    ) throws {
        let figures: StoreStatistics = store.statistics
        #expect(figures.memoryBytes <= limits.memoryBytes)
        #expect(figures.fillBytes == 0)
        guard every else { return }
        var bytes = 0
        var count = 0
        for site in Self.sites {
            for path in Self.paths {
                for entry in store.memory.find(Sample.key(path, site: site), counts: false) {
                    let slot = Slot(path: path, site: site, language: entry.language)
                    let stored: Stored = try #require(model[slot], "\(slot) is stored but was purged")
                    #expect(entry.bytes == stored.bytes)
                    #expect(entry.response.isFresh(at: 1_001) == stored.isFresh)
                    #expect(Set(entry.response.tags) == stored.tags)
                    bytes += entry.cost
                    count += 1
                }
            }
        }
        #expect(figures.memoryBytes == bytes)
        #expect(figures.memoryEntries == count)
        if isWhole { #expect(count == model.count) }
        let usage: [String: SiteUsage] = store.siteUsage
        #expect(usage.values.reduce(0) { $0 + $1.bytes } == bytes)
        #expect(usage.values.reduce(0) { $0 + $1.entries } == count)
        for site in usage.values { #expect(site.bytes <= site.limit) }
    }
}
