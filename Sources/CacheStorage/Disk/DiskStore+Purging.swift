internal import DequeModule
internal import HTTPCaching
internal import Logging
internal import NIOConcurrencyHelpers

extension DiskStore {
    /// Carries a purge over to the disk. Every unsafe request makes one, and the disk may hang: so one that means nothing
    /// on disk, or the same as one that waits, is not queued; and if too many wait, the store is emptied instead.
    func purge(
        _ scope: PurgeScope, _ kind: PurgeKind, generation: UInt64,
        done: (@Sendable (Result<Int, DiskStoreError>) -> Void)? = nil
    ) {
        enum Outcome {
            case queued(starts: Bool, wipes: Bool)
            case needless
            case closed
        }
        var key: (key: CacheKey, hash: UInt64)?
        if case .key(let named) = scope { key = (named, KeyFilter.hash(named)) }
        let outcome: Outcome = self.state.withLockedValue { state in
            guard !state.isClosed else { return .closed }
            // Who waits for an answer wants to hear of the disk.
            if done == nil {
                if state.waiting.covers(generation) { return .needless }
                if let (key, hash) = key,
                    state.waiting.covers(key, kind, generation)
                        || (!state.waiting.writes(hash) && self.filter.count(hash) == 0)
                {
                    return .needless
                }
            }
            state.queue.append(.purge(scope, kind, generation: generation, done: done))
            state.waiting.willPurge(key?.key, kind, generation)
            let wipes: Bool = state.waiting.purges > self.limits.pendingPurges
            if wipes {
                state.waiting.willWipe(state.queue)
                state.queue = [.wipe(replacing: Array(state.queue))]
                state.figures.failures += 1
            }
            defer { state.isWriting = true }
            return .queued(starts: !state.isWriting, wipes: wipes)
        }
        switch outcome {
        case .queued(let starts, let wipes):
            if starts { self.startWriting() }
            guard wipes else { return }
            self.logger.warning(
                "too many purges wait for the cache's disk: all that is on it is removed instead",
                metadata: ["path": "\(self.limits.path)", "limit": "\(self.limits.pendingPurges)"])
        case .needless: self.memory?.purgeIsOnDisk(generation)
        case .closed: done?(.failure(DiskStoreError(path: self.limits.path, reason: "the store is closed")))
        }
    }

    /// The hashes of the keys whose rows a batch wrote or changed, as often as it did.
    static func rows(of batch: [DiskOperation]) -> [UInt64] {
        batch.flatMap { operation -> [UInt64] in
            if case .wipe(let replaced) = operation { return self.rows(of: replaced) }
            return operation.rowKey.map { [KeyFilter.hash($0)] } ?? []
        }
    }
}

/// What the disk's queue holds, as far as a purge asks: rows that are on their way, and purges that wait.
///
/// Purges are numbered, and what is read from disk is compared with all those behind the first that still waits. So a
/// purge with a higher number than one that waits, and with no other effect, needs no record of its own.
struct WaitingWork {
    /// Rows that are being written, or wait to be, by their keys' hashes.
    private var rows: [UInt64: Int] = [:]
    /// Purges by key that wait, with no row of that key behind them, and their numbers.
    private var removals: [CacheKey: UInt64] = [:]
    private var invalidations: [CacheKey: UInt64] = [:]
    /// Purges that wait.
    private(set) var purges = 0
    /// The lowest number of the purges that a waiting wipe stands for.
    private var wiped: UInt64?

    /// Whether the store is about to be emptied. Nothing is written to it until then.
    var isWiping: Bool { self.wiped != nil }

    func writes(_ hash: UInt64) -> Bool { self.rows[hash] != nil }

    /// Whether a wipe that waits does all that any purge of this number would do.
    func covers(_ generation: UInt64) -> Bool { self.wiped.map { $0 < generation } ?? false }

    /// Whether a purge that waits does the same.
    func covers(_ key: CacheKey, _ kind: PurgeKind, _ generation: UInt64) -> Bool {
        let waiting: UInt64? =
            switch kind {
            case .remove: self.removals[key]
            case .invalidate: self.invalidations[key]
            case .markStale: nil
            }
        return waiting.map { $0 < generation } ?? false
    }

    mutating func willWrite(_ key: CacheKey, _ hash: UInt64) {
        self.rows[hash, default: 0] += 1
        self.removals[key] = nil
        self.invalidations[key] = nil
    }

    mutating func hasWritten(_ hash: UInt64) {
        let count: Int = self.rows[hash] ?? 0
        self.rows[hash] = count > 1 ? count - 1 : nil
    }

    mutating func willPurge(_ key: CacheKey?, _ kind: PurgeKind, _ generation: UInt64) {
        self.purges += 1
        guard let key else { return }
        switch kind {
        case .remove: self.removals[key] = generation
        case .invalidate: self.invalidations[key] = generation
        case .markStale: break
        }
    }

    mutating func willWipe(_ queue: some Sequence<DiskOperation>) {
        for operation in queue {
            guard case .purge(_, _, let generation, _) = operation else { continue }
            self.wiped = min(self.wiped ?? generation, generation)
        }
        self.purges = 0
        self.removals = [:]
        self.invalidations = [:]
    }

    /// An operation has left the queue. What is purged from now on is not covered by it any more.
    mutating func began(_ operation: DiskOperation) {
        switch operation {
        case .wipe: self.wiped = nil
        case .purge(let scope, let kind, let generation, _):
            self.purges -= 1
            guard case .key(let key) = scope else { return }
            if kind == .remove, self.removals[key] == generation { self.removals[key] = nil }
            if kind == .invalidate, self.invalidations[key] == generation { self.invalidations[key] = nil }
        case .insert, .adopt, .refresh, .forget, .check, .barrier: break
        }
    }
}
