internal import Synchronization

/// The memory of bodies that the ledger does not count: of fills under way, of what passes through, and of large bodies
/// that readers hold on to after the store has let go of them. In bytes, spare capacity included.
///
/// What wants to be kept asks first (`reserve`). What is there whatever the bound says, because a reader has yet to take
/// it, is booked all the same (`take`): while there is too much of that, nothing more is kept, and bodies pass through a
/// narrow window.
final class FillBudget: Sendable {
    let limit: Int
    private let taken = Atomic<Int>(0)

    init(limit: Int) {
        self.limit = limit
    }

    var bytes: Int { self.taken.load(ordering: .relaxed) }

    /// Whether more is held than should be.
    var isExceeded: Bool { self.bytes > self.limit }

    /// - Returns: false if there is no room for so many more; nothing is booked then.
    func reserve(_ count: Int) -> Bool {
        let now: Int = self.taken.wrappingAdd(count, ordering: .relaxed).newValue
        guard now > self.limit else { return true }
        self.taken.wrappingSubtract(count, ordering: .relaxed)
        return false
    }

    func take(_ count: Int) {
        if count > 0 { self.taken.wrappingAdd(count, ordering: .relaxed) }
    }

    func release(_ count: Int) {
        if count > 0 { self.taken.wrappingSubtract(count, ordering: .relaxed) }
    }
}
