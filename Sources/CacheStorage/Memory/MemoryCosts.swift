internal import HTTPCaching

/// What things cost in memory beside their own bytes. Measured with `docs/cache-storage.md`'s command, rounded up.
enum MemoryCosts {
    /// A buffer: its storage object, the allocator's rounding, and the place in the list of chunks.
    static let buffer = 112
    /// An entry beside its metadata: the slot in the ledger with its links, its share of the index and of the ghosts.
    static let entry = 128
    /// One tag of one entry: its share of the tag index.
    static let tag = 64
    static func cost(key: CacheKey, response: StoredResponse, body: StoredBody) -> Int {
        self.entry + key.uri.utf8.count + response.estimatedSize + response.tags.count * self.tag + body.footprint
    }
}
