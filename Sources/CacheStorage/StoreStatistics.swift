internal import HTTPCaching
internal import NIOConcurrencyHelpers

/// What one site takes of the memory store.
public struct SiteUsage: Equatable, Sendable {
    /// Everything its entries stand for, in bytes.
    public var bytes: Int
    public var entries: Int
    /// Bytes it may take.
    public var limit: Int
}

/// Figures for metrics. Counters count since the start.
public struct StoreStatistics: Equatable, Sendable {
    /// Bytes that entries in memory stand for, bookkeeping included, and their number.
    public var memoryBytes = 0
    public var memoryEntries = 0
    /// Bytes that fills hold, and large bodies that are read but no longer stored; and the number of fills under way.
    public var fillBytes = 0
    public var fills = 0
    /// Look-ups that found something stored in memory, and those that did not.
    public var memoryHits: UInt64 = 0
    public var memoryMisses: UInt64 = 0
    /// Requests that joined a fill instead of going to the origin.
    public var joined: UInt64 = 0
    /// Entries taken into memory; those of them that were remembered from an earlier stay; those refused for their size.
    public var insertions: UInt64 = 0
    public var returns: UInt64 = 0
    public var rejections: UInt64 = 0
    /// Entries that were used and moved on to the main queue, and entries that were evicted.
    public var promotions: UInt64 = 0
    public var evictions: UInt64 = 0
    /// Purges so far.
    public var purges: UInt64 = 0
    /// Nil without a disk store.
    public var disk: DiskStatistics?
}

/// What is stored for a key, for `latchstring cache`.
public struct EntryDescription: Sendable {
    public enum Place: String, Sendable {
        case memory
        case disk
    }

    public var entry: CachedResponse
    public var place: Place
    /// Bytes it stands for there.
    public var cost: Int
    /// In memory: whether it has been used and moved on to the main queue.
    public var isInMainQueue: Bool
    /// Uses that the eviction policy counts at the moment, 0…3.
    public var uses: Int
}

extension MemoryStore {
    var statistics: StoreStatistics {
        var figures = StoreStatistics()
        self.ledger.withLockedValue { ledger in
            figures.memoryBytes = ledger.bytes
            figures.memoryEntries = ledger.count
            figures.insertions = ledger.insertions
            figures.returns = ledger.ghostReturns
            figures.rejections = ledger.rejections
            figures.promotions = ledger.promotions
            figures.evictions = ledger.evictions
            figures.purges = ledger.log.generation
        }
        for shard in self.shards {
            shard.state.withLockedValue { state in
                figures.memoryHits += state.hits
                figures.memoryMisses += state.misses
                figures.joined += state.joined
                figures.fills += state.flights.count
            }
        }
        figures.fillBytes = self.fillBudget.bytes
        figures.disk = self.disk?.statistics
        return figures
    }

    func describe(_ key: CacheKey) -> [EntryDescription] {
        let entries: StoredVariants = self.find(key, counts: false)
        return self.ledger.withLockedValue { ledger in
            entries.map { entry in
                EntryDescription(
                    entry: entry, place: .memory, cost: entry.cost, isInMainQueue: ledger.isInMain(entry),
                    uses: Int(entry.usesSoFar))
            }
        }
    }
}
