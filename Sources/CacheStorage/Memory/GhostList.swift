internal import DequeModule

/// The hashes of what was evicted lately without having been used twice: if one comes back, it was worth keeping
/// (S3-FIFO's ghost queue). Bounded by count.
struct GhostList {
    private var order: Deque<UInt64> = []
    private var members: Set<UInt64> = []

    var count: Int { self.order.count }

    /// - Parameter limit: how many are kept.
    mutating func insert(_ hash: UInt64, limit: Int) {
        if self.members.insert(hash).inserted { self.order.append(hash) }
        while self.order.count > max(limit, 1), let oldest = self.order.popFirst() { self.members.remove(oldest) }
    }

    /// Whether it was there. It stays in the order until it gets old: a hash in two places would be forgotten too early,
    /// which costs nothing but a chance.
    mutating func remove(_ hash: UInt64) -> Bool {
        self.members.remove(hash) != nil
    }
}
