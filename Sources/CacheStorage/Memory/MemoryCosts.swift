internal import HTTPCaching
internal import HTTPFields

/// What things cost in memory beside their own bytes. Measured with `Benchmarks/allocations/run`, rounded up.
enum MemoryCosts {
    /// A buffer: its storage object, the allocator's rounding, and the place in the list of chunks.
    static let buffer = 112
    /// An entry beside its block: the slot in the ledger with its links (28 bytes, a quarter of them spare), a place in the index
    /// (12 bytes, up to half of them spare), and its share of the ghosts.
    static let entry = 128
    /// What only some entries have, without what that refers to.
    static let extras = 400
    /// One tag of one entry: its share of the tag index.
    static let tag = 64

    /// What the allocator takes for so many bytes: 8 of its own, in steps of 16.
    static func block(_ bytes: Int) -> Int { max((bytes + 8 + 15) & ~15, 32) }

    /// An array's block.
    static func array(_ bytes: Int) -> Int { self.block(32 + bytes) }

    /// What a text takes beside its place: nothing up to 15 bytes.
    static func text(_ text: String) -> Int { text.utf8.count <= 15 ? 0 : self.array(text.utf8.count + 1) }

    static func size(of variant: VariantKey) -> Int {
        if variant.selectors.isEmpty { return 0 }
        return variant.selectors.reduce(self.array(variant.selectors.count * 32)) { size, selector in
            size + (selector.name.known == nil ? self.array(selector.name.bytes.count) : 0)
                + (selector.value.map { self.array($0.count) } ?? 0)
        }
    }
}
