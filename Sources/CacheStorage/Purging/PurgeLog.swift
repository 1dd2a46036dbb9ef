internal import DequeModule
internal import HTTPCaching

/// The latest purges, so that what was asked for before a purge and arrives after it is not stored as if nothing had
/// happened. Bounded: a fill older than all that is remembered counts as purged.
struct PurgeLog {
    enum Verdict: Equatable {
        case untouched
        case marked(Freshness.Flags)
        case removed
    }

    static let capacity = 1024

    private var latest: Deque<(scope: PurgeScope, kind: PurgeKind)> = []
    /// The number of purges so far; the last of `latest` has this number.
    private(set) var generation: UInt64 = 0

    mutating func append(_ scope: PurgeScope, _ kind: PurgeKind) {
        self.generation += 1
        if self.latest.count == Self.capacity { self.latest.removeFirst() }
        self.latest.append((scope, kind))
    }

    /// What the purges after `generation` mean for a response.
    func verdict(since generation: UInt64, key: CacheKey, tags: [String]) -> Verdict {
        guard generation < self.generation else { return .untouched }
        let newer: UInt64 = self.generation - generation
        guard newer <= UInt64(self.latest.count) else { return .removed }
        var flags: Freshness.Flags = []
        for purge in self.latest.suffix(Int(newer)) where purge.scope.covers(key, tags: tags) {
            if purge.kind == .remove { return .removed }
            flags.formUnion(purge.kind.flags)
        }
        return flags.isEmpty ? .untouched : .marked(flags)
    }
}
