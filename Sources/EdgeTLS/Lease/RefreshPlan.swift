/// When a certificate is fetched next.
///
/// Pure: times are arguments, in nanoseconds. A wish for an earlier time wins and one for a later time changes nothing:
/// under load, handshakes that find a certificate outdated come faster than it could be fetched, and none of them may
/// put the fetch off.
struct RefreshPlan: Equatable {
    private(set) var due: Int64 = .max
    private var isFetching = false
    /// Asked for while a fetch was under way, whose answer may be from before the change.
    private var wish: Int64 = .max

    /// It is wanted by then.
    ///
    /// - Returns: whether the timer is to be set anew, to ``due``.
    mutating func want(by time: Int64) -> Bool {
        if self.isFetching {
            self.wish = min(self.wish, time)
            return false
        }
        guard time < self.due else { return false }
        self.due = time
        return true
    }

    /// The timer fired.
    ///
    /// - Returns: whether to fetch.
    mutating func fired() -> Bool {
        guard !self.isFetching else { return false }
        self.due = .max
        self.isFetching = true
        return true
    }

    /// The fetch ended, well or not; the next is wanted by then at the latest.
    mutating func fetched(next time: Int64) {
        self.isFetching = false
        self.due = min(time, self.wish)
        self.wish = .max
    }
}
