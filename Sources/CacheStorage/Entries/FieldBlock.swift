internal import HTTPCaching
public import HTTPFields
internal import Synchronization

/// A stored head as an HTTP/2 field block, made when the first client asks for it so and kept with its entry.
///
/// The block refers to nothing but HPACK's static table, so that it means the same on every connection (RFC 7541 §6.2.2). Which
/// bytes it has is for the encoder to say.
final class FieldBlock: Sendable {
    let bytes: [UInt8]
    private let budget: FieldBlockBudget

    init(_ bytes: [UInt8], budget: FieldBlockBudget) {
        self.bytes = bytes
        self.budget = budget
    }

    deinit { self.budget.release(Self.cost(self.bytes)) }

    /// With the object, the array's head and what the allocator rounds up.
    static func cost(_ bytes: [UInt8]) -> Int { bytes.count + 96 }
}

/// The memory of all field blocks, in bytes. They come on top of what the ledger counts, and where there is no room for one more, it is
/// made anew each time.
final class FieldBlockBudget: Sendable {
    let limit: Int
    private let taken = Atomic<Int>(0)

    init(limit: Int) {
        self.limit = limit
    }

    var bytes: Int { self.taken.load(ordering: .relaxed) }

    /// - Returns: false if there is no room for so many more; nothing is booked then.
    func reserve(_ count: Int) -> Bool {
        let now: Int = self.taken.wrappingAdd(count, ordering: .relaxed).newValue
        if now <= self.limit { return true }
        self.release(count)
        return false
    }

    func release(_ count: Int) { self.taken.wrappingSubtract(count, ordering: .relaxed) }
}

extension ResponseStore {
    /// The stored head as an HTTP/2 field block: kept from the last time, or made now.
    ///
    /// - Parameter encode: a block of status and all fields that refers to HPACK's static table only. Two event loops may make it at
    ///   the same time; both blocks are right.
    public func fieldBlock(of entry: CachedResponse, _ encode: (EncodedHead) -> [UInt8]) -> [UInt8] {
        if let known = entry.block.facts.pointee.fieldBlock.load() { return known.bytes }
        let bytes: [UInt8] = encode(entry.response.head)
        let budget: FieldBlockBudget = self.memory.fieldBlocks
        if budget.reserve(FieldBlock.cost(bytes)) {
            _ = entry.block.facts.pointee.fieldBlock.storeIfNil(FieldBlock(bytes, budget: budget))
        }
        return bytes
    }
}
