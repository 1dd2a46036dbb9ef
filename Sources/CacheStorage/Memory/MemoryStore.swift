internal import HTTPCaching
internal import NIOConcurrencyHelpers
internal import Synchronization

/// Responses in memory, shared by all event loops.
///
/// A look-up takes one of 64 locks for the time of a table look-up, and hands out references to entries that never
/// change. Everything that changes what is stored takes the ledger's lock first and then those of the stripes it touches,
/// always in this order: so the accounts, the index and the purges are one after the other. Misses, which make up the
/// changes, cost a request to the origin anyway.
final class MemoryStore: Sendable {
    static let shardCount = 64

    let limits: StoreLimits
    let shards: [MemoryShard]
    let ledger: NIOLockedValueBox<Ledger>
    /// The number of purges so far: a copy of the log's, so that a fill can start without the ledger's lock.
    let generation = Atomic<UInt64>(0)
    let fillBudget: FillBudget
    let fieldBlocks: FieldBlockBudget
    let disk: DiskStore?

    /// - Parameter disk: where what is stored here is written, too.
    init(limits: StoreLimits, disk: DiskStore? = nil) {
        self.limits = limits
        self.disk = disk
        self.fillBudget = FillBudget(limit: limits.fillBytes)
        self.fieldBlocks = FieldBlockBudget(limit: limits.fieldBlockBytes)
        self.shards = (0..<Self.shardCount).map { _ in MemoryShard() }
        self.ledger = NIOLockedValueBox(Ledger(limits: limits))
        disk?.attach(self)
    }

    static func hash(_ key: CacheKey) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(key)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    func shard(_ hash: UInt64) -> MemoryShard { self.shards[Int(hash >> 32) & (Self.shardCount - 1)] }

    // MARK: reading

    /// The stored variants, newest first.
    func find(_ key: CacheKey, counts: Bool = true) -> StoredVariants {
        let hash: UInt64 = Self.hash(key)
        return self.shard(hash).find(hash, key, counts: counts)
    }

    /// The same for a request.
    func find(_ key: RequestKey) -> StoredVariants {
        var hasher = Hasher()
        key.hash(into: &hasher)
        let hash = UInt64(bitPattern: Int64(hasher.finalize()))
        return self.shard(hash).find(hash, key)
    }

    // MARK: changes

    /// Stores an entry that was asked for when `generation` purges had taken place. It takes the place of what it
    /// supersedes.
    func commit(_ entry: CachedResponse, since generation: UInt64) -> FillResult {
        var dropped: [CachedResponse] = []
        // What is dropped is freed when the locks are open again.
        defer { withExtendedLifetime(dropped) {} }
        var judged: UInt64 = 0
        let result: FillResult = self.ledger.withLockedValue { ledger in
            judged = ledger.log.generation
            let verdict: PurgeLog.Verdict = ledger.log.verdict(
                since: generation, key: entry.key, tags: entry.response.tags)
            var entry: CachedResponse = entry
            switch verdict {
            case .untouched: break
            case .removed: return .notStored(.purged)
            case .marked(let marks): entry = entry.marked(marks)
            }
            dropped = self.insert(entry, &ledger)
            return ledger.holds(entry) ? .stored(entry) : .notStored(.tooLarge)
        }
        if case .stored(let stored) = result { self.disk?.offer(stored, since: judged) }
        return result
    }

    /// Takes in what was read from disk when the disk's index had the first `generation` purges.
    ///
    /// - Returns: what is to be used instead: the same with the marks of later purges, or an entry for the same requests
    ///   that is in memory already; nil if it was purged.
    func promote(_ entry: CachedResponse, since generation: UInt64) -> CachedResponse? {
        var dropped: [CachedResponse] = []
        defer { withExtendedLifetime(dropped) {} }
        return self.ledger.withLockedValue { ledger in
            var entry: CachedResponse = entry
            switch ledger.log.verdict(since: generation, key: entry.key, tags: entry.response.tags) {
            case .untouched: break
            case .removed: return nil
            case .marked(let marks): entry = entry.marked(marks)
            }
            let hash: UInt64 = Self.hash(entry.key)
            let present: StoredVariants = self.shard(hash).find(hash, entry.key, counts: false)
            // Memory has what is newer, unless that is a part of it only and older.
            if let other = present.first(where: { $0.response.variant == entry.response.variant }),
                !entry.response.supersedes(other.response) || other.response.isComplete
                    || other.response.responseTime > entry.response.responseTime
            {
                return other
            }
            if entry.body.isInMemory { dropped = self.insert(entry, &ledger) }
            return entry
        }
    }

    /// Puts metadata that a revalidation brought up to date in the place of the old ones. If the old entry has been
    /// evicted meanwhile, the new one is stored again; if it was purged, it is only handed back.
    func update(_ old: CachedResponse, with response: StoredResponse, since generation: UInt64) -> CachedResponse {
        let fresh = CachedResponse(updating: old, with: response)
        var dropped: [CachedResponse] = []
        defer { withExtendedLifetime(dropped) {} }
        var judged: UInt64?
        let result: CachedResponse = self.ledger.withLockedValue { ledger in
            var entry: CachedResponse = fresh
            let tags: [String] = old.response.tags + response.tags
            switch ledger.log.verdict(since: generation, key: old.key, tags: tags) {
            case .untouched: break
            case .removed: return entry
            case .marked(let marks): entry = entry.marked(marks)
            }
            judged = ledger.log.generation
            // A body on disk has no entry in memory.
            guard old.body.isInMemory else { return entry }
            let hash: UInt64 = Self.hash(old.key)
            if ledger.holds(old), old.response.variant == response.variant {
                self.shard(hash).replace(old, with: entry, hash)
                dropped = ledger.replace(old, with: entry) ?? []
                self.unlist(dropped)
                dropped.append(old)
            } else {
                if ledger.remove(old) { self.shard(hash).remove(old, hash) }
                // What was stored meanwhile for the same requests is newer than what was confirmed.
                let isOvertaken: Bool = self.shard(hash).find(hash, old.key, counts: false).contains {
                    $0.response.variant == response.variant && $0.response.responseTime >= response.requestTime
                }
                if !isOvertaken { dropped = self.insert(entry, &ledger) }
            }
            return entry
        }
        if let judged { self.disk?.refresh(result, since: judged) }
        return result
    }

    /// Whether no purge after the first `generation` means a response.
    func isUntouched(_ key: CacheKey, tags: [String], since generation: UInt64) -> Bool {
        self.ledger.withLockedValue { $0.log.verdict(since: generation, key: key, tags: tags) == .untouched }
    }

    /// What the purges after the first `generation` have left of an entry: itself, the same with their marks, or nil.
    func current(_ entry: CachedResponse, since generation: UInt64) -> CachedResponse? {
        guard self.generation.load(ordering: .acquiring) > generation else { return entry }
        let verdict: PurgeLog.Verdict = self.ledger.withLockedValue {
            $0.log.verdict(since: generation, key: entry.key, tags: entry.response.tags)
        }
        switch verdict {
        case .untouched: return entry
        case .removed: return nil
        case .marked(let marks): return entry.marked(marks)
        }
    }

    func takeDiskUses() -> [Int64] { self.ledger.withLockedValue { $0.takeDiskUses() } }

    func noteDiskUse(row: Int64) { self.ledger.withLockedValue { $0.noteDiskUse(row: row) } }

    /// The disk's index has this purge now.
    func purgeIsOnDisk(_ generation: UInt64) { self.ledger.withLockedValue { $0.log.isOnDisk(generation) } }

    /// The purges that the disk's index has, without a gap.
    var purgesOnDisk: UInt64 { self.ledger.withLockedValue { $0.log.onDisk } }

    /// Both locks' work for a new entry. The ledger's lock is held.
    private func insert(_ entry: CachedResponse, _ ledger: inout Ledger) -> [CachedResponse] {
        let hash: UInt64 = Self.hash(entry.key)
        let shard: MemoryShard = self.shard(hash)
        let present: StoredVariants = shard.find(hash, entry.key, counts: false)
        var dropped: [CachedResponse] = present.filter { entry.response.supersedes($0.response) }
        if present.count - dropped.count >= self.limits.variantsPerKey,
            let oldest = present.last(where: { one in !dropped.contains { $0 === one } })
        {
            dropped.append(oldest)
        }
        for old in dropped { ledger.remove(old) }
        let victims: [CachedResponse]? = ledger.insert(entry)
        dropped += victims ?? []
        self.unlist(dropped)
        if victims != nil { shard.add(entry, hash) }
        return dropped
    }

    private func unlist(_ entries: [CachedResponse]) {
        for entry in entries {
            let hash: UInt64 = Self.hash(entry.key)
            self.shard(hash).remove(entry, hash)
        }
    }

    /// Removes entries, or replaces them by marked ones, where they are still stored.
    ///
    /// - Returns: how many were.
    func apply(_ kind: PurgeKind, to entries: [CachedResponse]) -> Int {
        var marks = PurgeMarks()
        let removes: Bool = !marks.add(kind)
        var dropped: [CachedResponse] = []
        defer { withExtendedLifetime(dropped) {} }
        return self.ledger.withLockedValue { ledger in
            var count = 0
            for entry in entries where ledger.holds(entry) {
                count += 1
                let hash: UInt64 = Self.hash(entry.key)
                if removes {
                    ledger.remove(entry)
                    self.shard(hash).remove(entry, hash)
                } else {
                    let marked: CachedResponse = entry.marked(marks)
                    self.shard(hash).replace(entry, with: marked, hash)
                    let victims: [CachedResponse] = ledger.replace(entry, with: marked) ?? []
                    self.unlist(victims)
                    dropped += victims
                }
                dropped.append(entry)
            }
            return count
        }
    }

    /// Applies new shares of sites at once.
    func apply(_ shares: SiteShares) {
        var limits: StoreLimits = self.limits
        limits.shares = shares
        var dropped: [CachedResponse] = []
        self.ledger.withLockedValue { ledger in
            dropped = ledger.apply(limits)
            self.unlist(dropped)
        }
    }

    func mayHold(bodyLength: Int?) -> Bool {
        guard let bodyLength else { return true }
        return bodyLength <= self.limits.memoryObjectBytes
            && (bodyLength <= FillState.narrowWindow
                || self.fillBudget.bytes + bodyLength <= self.fillBudget.limitForLarge)
    }
}

extension StoredResponse {
    var isComplete: Bool {
        if case .complete = self.extent { true } else { false }
    }

    /// Whether this makes `old`, which is stored for the same key, superfluous: it answers the same requests, with at
    /// least the same bytes.
    func supersedes(_ old: StoredResponse) -> Bool {
        guard self.variant == old.variant else { return false }
        switch (self.extent, old.extent) {
        case (.complete, _): return true
        case (.partial, .complete): return false
        case (.partial(let first, let last, _), .partial(let oldFirst, let oldLast, _)):
            return first <= oldFirst && last >= oldLast
        }
    }
}

extension CachedResponse {
    /// The same with what purges left on it.
    func marked(_ marks: PurgeMarks) -> CachedResponse {
        CachedResponse(updating: self, with: marks.applied(to: self.response))
    }
}
