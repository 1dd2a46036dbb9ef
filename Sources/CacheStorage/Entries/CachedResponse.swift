public import HTTPCaching
internal import Synchronization

/// One stored response, its metadata and body. Never changes, except for the marks that the store itself keeps.
///
/// Safe to keep as long as it is needed: the store forgetting it does not touch it.
public final class CachedResponse: Sendable {
    public let key: CacheKey
    public let response: StoredResponse
    public let body: StoredBody
    /// Whether this came from the disk store, or has been written to it.
    public var isOnDisk: Bool { self.diskRow.load(ordering: .relaxed) != 0 }

    /// The largest count of uses that is kept: S3-FIFO needs two bits.
    static let maximumUses: UInt8 = 3

    /// Bytes of memory that this entry stands for, bookkeeping included.
    let cost: Int
    /// Uses since it was stored or last looked at by the eviction, up to `maximumUses`.
    private let uses = Atomic<UInt8>(0)
    /// Its place in the ledger, or -1; written only under the ledger's lock.
    let slot = Atomic<Int32>(-1)
    /// Its head as HTTP/2 sends it, once a client has asked for it so.
    let fieldBlock = AtomicLazyReference<FieldBlock>()
    /// Its row in the disk index, or 0.
    private let diskRow = Atomic<Int64>(0)

    init(key: CacheKey, response: StoredResponse, body: StoredBody, cost: Int? = nil) {
        self.key = key
        self.response = response
        self.body = body
        self.cost = cost ?? MemoryCosts.cost(key: key, response: response, body: body)
    }

    /// The same body under metadata that a revalidation brought up to date.
    convenience init(updating old: CachedResponse, with response: StoredResponse) {
        self.init(key: old.key, response: response, body: old.body)
        self.uses.store(old.usesSoFar, ordering: .relaxed)
        self.diskRow.store(old.diskRowID, ordering: .relaxed)
    }

    /// Tells the eviction policy that this was served. Costs one atomic read, seldom a write.
    public func recordUse() {
        let seen: UInt8 = self.uses.load(ordering: .relaxed)
        if seen < Self.maximumUses {
            // Two loops may write the same value: a lost count is of no account to the policy.
            self.uses.store(seen + 1, ordering: .relaxed)
        }
    }

    /// Its row in the disk index, or 0.
    var diskRowID: Int64 { self.diskRow.load(ordering: .relaxed) }

    func noteDiskRow(_ id: Int64) {
        self.diskRow.store(id, ordering: .relaxed)
    }

    var usesSoFar: UInt8 { self.uses.load(ordering: .relaxed) }

    func setUses(_ count: UInt8) {
        self.uses.store(count, ordering: .relaxed)
    }
}
