public import HTTPCaching
internal import Synchronization

/// One stored response, its metadata and body. Never changes, except for the marks that the store itself keeps.
///
/// A reference to one block of memory: safe to keep as long as it is needed, and the store forgetting it does not touch it.
public struct CachedResponse: Sendable {
    /// Nothing of it changes but atomic marks.
    nonisolated(unsafe) let block: EntryBlock

    init(key: CacheKey, response: StoredResponse, body: StoredBody) {
        self.block = EntryBlock.make(key, response, body)
    }

    /// The same body under metadata that a revalidation brought up to date.
    init(updating old: CachedResponse, with response: StoredResponse) {
        self.init(key: old.key, response: response, body: old.body)
        self.setUses(old.usesSoFar)
        self.noteDiskRow(old.diskRowID)
    }

    /// Put together anew with each use: ``isKey(_:)`` compares without.
    public var key: CacheKey { self.block.key }

    /// The key's.
    var site: String { self.block.facts.pointee.site }

    func isKey(_ key: CacheKey) -> Bool { self.block.isKey(key) }

    func isKey(_ key: RequestKey) -> Bool { self.block.isKey(key) }

    /// Its head is not copied, and holds the entry.
    public var response: StoredResponse { self.block.response }

    public var body: StoredBody { self.block.body }

    /// Counts the memory of a large body.
    var lease: BodyLease? { self.block.lease }

    /// Bytes of memory that this entry stands for, bookkeeping included.
    var cost: Int { self.block.cost }

    // MARK: the store's marks

    /// The largest count of uses that is kept: S3-FIFO needs two bits.
    static let maximumUses: UInt8 = 3

    /// Whether this came from the disk store, or has been written to it.
    public var isOnDisk: Bool { self.diskRowID != 0 }

    /// Tells the eviction policy that this was served. Costs one atomic read, seldom a write.
    public func recordUse() {
        let seen: UInt8 = self.usesSoFar
        if seen < Self.maximumUses {
            // Two loops may write the same value: a lost count is of no account to the policy.
            self.setUses(seen + 1)
        }
    }

    var usesSoFar: UInt8 { self.block.facts.pointee.uses.load(ordering: .relaxed) }

    func setUses(_ count: UInt8) { self.block.facts.pointee.uses.store(count, ordering: .relaxed) }

    /// Its row in the disk index, or 0.
    var diskRowID: Int64 { self.block.facts.pointee.diskRow.load(ordering: .relaxed) }

    func noteDiskRow(_ id: Int64) { self.block.facts.pointee.diskRow.store(id, ordering: .relaxed) }

    /// Its place in the ledger, or -1.
    var slot: Int32 { self.block.facts.pointee.slot.load(ordering: .relaxed) }

    /// Under the ledger's lock.
    func setSlot(_ slot: Int32) { self.block.facts.pointee.slot.store(slot, ordering: .relaxed) }
}

/// Whether both are the same entry, not two with the same content.
public func === (one: CachedResponse?, other: CachedResponse?) -> Bool { one?.block === other?.block }

/// The stored variants of one key, newest first. There is one as a rule, and then this takes no memory.
public struct StoredVariants: RandomAccessCollection, Sendable {
    private enum Place {
        case none
        case one(CachedResponse)
        case several([CachedResponse])
    }

    private let place: Place

    public init() { self.place = .none }

    init(_ one: CachedResponse) { self.place = .one(one) }

    public init(_ several: [CachedResponse]) { self.place = .several(several) }

    /// The one that there is; nil for none, and for several.
    public var only: CachedResponse? {
        if case .one(let one) = self.place { one } else { nil }
    }

    public var startIndex: Int { 0 }

    public var endIndex: Int {
        switch self.place {
        case .none: 0
        case .one: 1
        case .several(let several): several.count
        }
    }

    public subscript(index: Int) -> CachedResponse {
        switch self.place {
        case .one(let one):
            precondition(index == 0, "there is one variant only")
            return one
        case .several(let several): return several[index]
        case .none: preconditionFailure("there is no variant")
        }
    }
}
