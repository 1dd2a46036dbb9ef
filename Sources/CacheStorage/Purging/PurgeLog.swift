internal import DequeModule
internal import HTTPCaching

/// The latest purges, so that what was asked for before a purge and arrives after it is not stored as if nothing had
/// happened. Bounded: a fill older than all that is remembered counts as purged.
struct PurgeLog {
    enum Verdict: Equatable {
        case untouched
        case marked(PurgeMarks)
        case removed
    }

    static let capacity = 1024

    private var latest: Deque<(scope: PurgeScope, kind: PurgeKind)> = []
    /// The number of purges so far; the last of `latest` has this number.
    private(set) var generation: UInt64 = 0

    /// Purges that the disk's index doesn't have yet, in order.
    private var outstanding: Deque<UInt64> = []

    /// The number of the last purge before which the disk's index has them all.
    var onDisk: UInt64 { self.outstanding.first.map { $0 - 1 } ?? self.generation }

    /// - Parameter hasDisk: whether `isOnDisk` will be told of it.
    mutating func append(_ scope: PurgeScope, _ kind: PurgeKind, hasDisk: Bool) {
        self.generation += 1
        if hasDisk { self.outstanding.append(self.generation) }
        if self.latest.count == Self.capacity { self.latest.removeFirst() }
        self.latest.append((scope, kind))
    }

    mutating func isOnDisk(_ generation: UInt64) {
        if let index = self.outstanding.firstIndex(of: generation) { self.outstanding.remove(at: index) }
    }

    /// What the purges after `generation` mean for a response.
    func verdict(since generation: UInt64, key: CacheKey, tags: [String]) -> Verdict {
        guard generation < self.generation else { return .untouched }
        let newer: UInt64 = self.generation - generation
        guard newer <= UInt64(self.latest.count) else { return .removed }
        var marks = PurgeMarks()
        for purge in self.latest.suffix(Int(newer)) where purge.scope.covers(key, tags: tags) {
            guard marks.add(purge.kind) else { return .removed }
        }
        return marks.isEmpty ? .untouched : .marked(marks)
    }
}
