internal import Synchronization

/// The memory of bodies that the ledger does not count: of fills under way, of what passes through, and of large bodies
/// that readers hold on to after the store has let go of them. In bytes, spare capacity included.
///
/// The last quarter is for small bodies: those who hold the rest without reading must not keep everything else from being
/// stored.
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

    /// Whether more is held than should be for large bodies: what passes through has a narrow window then.
    var isExceeded: Bool { self.bytes > self.limitForLarge }

    /// Where bodies larger than 64 KiB find no more room.
    var limitForLarge: Int { self.limit - self.limit / 4 }

    /// - Parameter isSmall: whether the body is, so far, one of 64 KiB at most.
    /// - Returns: false if there is no room for so many more; nothing is booked then.
    func reserve(_ count: Int, isSmall: Bool) -> Bool {
        let now: Int = self.taken.wrappingAdd(count, ordering: .relaxed).newValue
        guard now > (isSmall ? self.limit : self.limitForLarge) else { return true }
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
