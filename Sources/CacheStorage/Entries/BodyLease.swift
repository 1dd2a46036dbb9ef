internal import Synchronization

/// The memory of one large body, for as long as anything holds on to it: entries, fills and readers.
///
/// The ledger counts a body that is stored. When it is evicted, its memory is not free before its last reader has let go
/// of it: meanwhile it counts in the budget for fills, so that readers who don't read can't make memory grow.
final class BodyLease: Sendable {
    /// Smaller bodies have none: a reader holds no more of them than of any other response's output.
    static let leastBytes = 65_536

    private let bytes: Int
    private let budget: FillBudget
    /// Entries in the ledger that have this body. Changed under the ledger's lock.
    private let listings = Atomic<Int>(0)

    /// - Parameter bytes: booked in the budget already.
    init(booked bytes: Int, in budget: FillBudget) {
        self.bytes = bytes
        self.budget = budget
    }

    deinit {
        if self.listings.load(ordering: .relaxed) == 0 { self.budget.release(self.bytes) }
    }

    /// The ledger counts it from now on.
    func list() {
        if self.listings.wrappingAdd(1, ordering: .relaxed).newValue == 1 { self.budget.release(self.bytes) }
    }

    /// The ledger counts it no more.
    func unlist() {
        if self.listings.wrappingSubtract(1, ordering: .relaxed).newValue == 0 { self.budget.take(self.bytes) }
    }
}
