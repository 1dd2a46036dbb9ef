/// The disk store's place and bounds.
public struct DiskLimits: Sendable {
    /// What a crash may cost.
    public enum Durability: Sendable {
        /// Bodies are not flushed one by one. After `kill -9` everything written is there; after a loss of power what
        /// had not reached the disk is missing or fails its checksum, and is asked for again.
        case process
        /// Bodies are flushed before the index names them (`fsync`). Costs some milliseconds for each.
        case power
    }

    /// The folder; made, for this user only, if it is not there. One process at a time.
    public var path: String
    /// All bodies and the index together, in bytes, bookkeeping estimated. SQLite's write-ahead log comes on top: about
    /// 16 MiB at most.
    public var bytes: Int
    /// The largest body that is written, in bytes.
    public var objectBytes: Int
    /// Responses on disk at most. Each costs up to 24 bytes of memory.
    public var entries: Int
    /// Only what stays fresh for so long, or can be validated afterwards, is written: milliseconds from when it is
    /// stored.
    public var minimumLifetime: Int64
    /// What each site may take of `bytes`.
    public var shares: SiteShares
    /// Bodies waiting to be written at most, in bytes; what comes on top is not written.
    public var pendingBytes: Int
    /// Threads that read; one more writes.
    public var readers: Int
    public var durability: Durability
    /// How long nothing is written after a write failed, and nothing looked up after a look-up took too long, in
    /// milliseconds.
    public var pause: Int64
    /// How long a look-up may take, in milliseconds. After that it counts as a miss.
    public var deadline: Int64

    /// Purges waiting to be written at most; if there are more, the whole store is emptied instead.
    var pendingPurges = 32_768

    public init(
        path: String, bytes: Int = 10 << 30, objectBytes: Int = 1 << 30, entries: Int = 1_000_000,
        minimumLifetime: Int64 = 10_000, shares: SiteShares = SiteShares(), pendingBytes: Int = 32 << 20,
        readers: Int = 4, durability: Durability = .process, pause: Int64 = 30_000,
        deadline: Int64 = 2_000
    ) {
        self.path = path
        self.bytes = max(bytes, 1 << 20)
        self.objectBytes = min(objectBytes, bytes / 4)
        self.entries = max(entries, 1)
        self.minimumLifetime = minimumLifetime
        self.shares = shares
        self.pendingBytes = pendingBytes
        self.readers = min(max(readers, 1), 64)
        self.durability = durability
        self.pause = max(pause, 0)
        self.deadline = max(deadline, 1)
    }

    /// Bodies up to this many bytes stand in the index itself: SQLite reads and writes them faster than the file system
    /// makes a file, and they waste no block.
    static let inlineBytes = 16_384
    /// Responses kept for one key.
    static let variantsPerKey = 32

    /// What a response takes on disk: its body in blocks of 4 KiB if it has a file, its row and its places in four
    /// indexes.
    static func cost(length: Int, metadata: Int, uri: Int) -> Int {
        let body: Int = length <= self.inlineBytes ? length : (length + 4_095) & ~4_095
        return body + metadata + uri + length / BlockSums.blockBytes * BlockSums.sumBytes + 384
    }
}
