internal import HTTPCaching
internal import NIOCore

/// What the disk's writer is asked to do, in order.
enum DiskOperation: Sendable {
    /// Writes a response whose body is in memory.
    case insert(CachedResponse, id: Int64)
    /// Names a body in the index that has been written already.
    case adopt(NewRow)
    /// Brings a row's metadata up to date.
    case refresh(CachedResponse, id: Int64)
    /// Removes a row that turned out to be damaged.
    case forget(id: Int64)
    /// Makes the index anew if it is damaged, as a reader says.
    case check(reason: String)
    /// `done` is told how many rows were meant, or that the purge is not on disk.
    case purge(PurgeScope, PurgeKind, generation: UInt64, done: (@Sendable (Result<Int, DiskStoreError>) -> Void)?)
    /// Empties the store in the place of everything that waited, for there were too many purges among it.
    case wipe(replacing: [DiskOperation])
    /// `done` is run when everything before is on disk, or has been given up.
    case barrier(@Sendable () -> Void)

    /// Bytes of bodies that wait in memory for this.
    var weight: Int {
        switch self {
        case .insert(let entry, _): entry.body.length
        case .wipe(let replaced): replaced.reduce(0) { $0 + $1.weight }
        case .adopt, .refresh, .forget, .check, .purge, .barrier: 0
        }
    }

    /// Whether it must not be given up when there are too many.
    var isVital: Bool {
        switch self {
        case .purge, .barrier, .check, .wipe: true
        case .insert, .adopt, .refresh, .forget: false
        }
    }

    /// The key of a row that this writes or changes.
    var rowKey: CacheKey? {
        switch self {
        case .insert(let entry, _), .refresh(let entry, _): entry.key
        case .adopt(let row): row.key
        case .forget, .check, .purge, .wipe, .barrier: nil
        }
    }
}

/// Figures of the disk store for metrics. Counters count since the start.
public struct DiskStatistics: Equatable, Sendable {
    /// Bytes on disk, estimated bookkeeping included, and responses.
    public var bytes = 0
    public var entries = 0
    /// Whether responses are written at the moment; false after a write failed, until the pause is over.
    public var isWritable = true
    /// Look-ups on disk that found something, and those that did not.
    public var hits: UInt64 = 0
    public var misses: UInt64 = 0
    /// Responses written; those given up because too much was waiting, or the disk was not writable; those evicted.
    public var writes: UInt64 = 0
    public var skippedWrites: UInt64 = 0
    public var evictions: UInt64 = 0
    /// Writes and reads that failed; bodies and rows that were not what had been written; times the index was made anew.
    public var failures: UInt64 = 0
    public var damages: UInt64 = 0
    public var rebuilds: UInt64 = 0
    /// Operations that wait for the writer, and the bytes of bodies among them.
    public var pendingOperations = 0
    public var pendingBytes = 0
}
