internal import DequeModule
internal import HTTPCaching

/// The latest purges, so that what was asked for before a purge and arrives after it is not stored as if nothing had
/// happened. Bounded: what is older than all that is remembered counts as purged.
///
/// Purges by key have a book of their own, with one record for each key: every unsafe request makes one, and a site with
/// many of those must not make the store forget the others.
struct PurgeLog {
    enum Verdict: Equatable {
        case untouched
        case marked(PurgeMarks)
        case removed
    }

    private struct Record {
        var scope: PurgeScope
        var kind: PurgeKind
        var generation: UInt64
    }

    /// The last purge of each kind of one key, by its number.
    private struct KeyRecord {
        var removed: UInt64 = 0
        var invalidated: UInt64 = 0
        var markedStale: UInt64 = 0
        var staleAt: Int64 = 0

        var latest: UInt64 { max(self.removed, self.invalidated, self.markedStale) }
    }

    static let capacity = 1_024
    static let keyCapacity = 65_536

    private var latest: Deque<Record> = []
    private var keys: [UInt64: KeyRecord] = [:]
    /// The number of the last purge that is no longer remembered.
    private var forgotten: UInt64 = 0
    /// The number of purges so far.
    private(set) var generation: UInt64 = 0
    /// Purges that wait to be written to the disk's index, in order. No more than the disk's queue takes.
    private var outstanding: Deque<UInt64> = []

    /// The number of the last purge before which the disk's index has them all.
    var onDisk: UInt64 { self.outstanding.first.map { $0 - 1 } ?? self.generation }

    /// - Parameter hasDisk: whether `isOnDisk` will be told of it.
    mutating func append(_ scope: PurgeScope, _ kind: PurgeKind, hasDisk: Bool) {
        self.generation += 1
        if hasDisk { self.outstanding.append(self.generation) }
        if case .key(let key) = scope {
            self.append(MemoryStore.hash(key), kind)
            return
        }
        if self.latest.count == Self.capacity, let oldest = self.latest.popFirst() {
            self.forgotten = max(self.forgotten, oldest.generation)
        }
        self.latest.append(Record(scope: scope, kind: kind, generation: self.generation))
    }

    private mutating func append(_ hash: UInt64, _ kind: PurgeKind) {
        if self.keys.count >= Self.keyCapacity, self.keys[hash] == nil { self.forgetHalf() }
        switch kind {
        case .remove: self.keys[hash, default: KeyRecord()].removed = self.generation
        case .invalidate: self.keys[hash, default: KeyRecord()].invalidated = self.generation
        case .markStale(let time):
            self.keys[hash, default: KeyRecord()].markedStale = self.generation
            self.keys[hash, default: KeyRecord()].staleAt = time
        }
    }

    /// Forgets the older half of the keys.
    private mutating func forgetHalf() {
        let order: [UInt64] = self.keys.values.map(\.latest).sorted()
        let limit: UInt64 = order[order.count / 2]
        self.keys = self.keys.filter { $0.value.latest > limit }
        self.forgotten = max(self.forgotten, limit)
    }

    /// They come in order, and those that need no writing right after they were numbered: so it is one of the first or of
    /// the last as a rule, and the others are seldom many.
    mutating func isOnDisk(_ generation: UInt64) {
        var low = 0
        var high: Int = self.outstanding.count
        while low < high {
            let middle: Int = (low + high) / 2
            if self.outstanding[middle] < generation { low = middle + 1 } else { high = middle }
        }
        if low < self.outstanding.count, self.outstanding[low] == generation { self.outstanding.remove(at: low) }
    }

    /// What the purges after the first `generation` mean for a response.
    func verdict(since generation: UInt64, key: CacheKey, tags: [String]) -> Verdict {
        guard generation < self.generation else { return .untouched }
        guard generation >= self.forgotten else { return .removed }
        var marks = PurgeMarks()
        if let record = self.keys[MemoryStore.hash(key)] {
            if record.removed > generation { return .removed }
            if record.invalidated > generation { marks.isInvalidated = true }
            if record.markedStale > generation { marks.staleAt = record.staleAt }
        }
        for purge in self.latest.reversed() {
            guard purge.generation > generation else { break }
            if purge.scope.covers(key, tags: tags), !marks.add(purge.kind) { return .removed }
        }
        return marks.isEmpty ? .untouched : .marked(marks)
    }
}
