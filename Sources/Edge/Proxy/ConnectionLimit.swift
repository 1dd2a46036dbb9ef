import NIOCore

/// How many connections there may be, and who waits for one, first come first served. Pure.
///
/// Our bug: more connections gone than there were; ignored.
struct ConnectionLimit<Waiter: AnyObject> {
    enum Entry {
        /// There is room for one more, and it is counted already.
        case connect
        case wait
        case overloaded
    }

    private let connections: Int
    private let waiting: Int
    private var open = 0
    private var waiters = CircularBuffer<Waiter>()

    /// - Parameters:
    ///   - connections: at once; at least one.
    ///   - waiting: for a connection at once.
    init(connections: Int, waiting: Int) {
        self.connections = max(1, connections)
        self.waiting = waiting
    }

    var firstWaiter: Waiter? { self.waiters.first }

    mutating func enter(_ waiter: Waiter) -> Entry {
        if self.open < self.connections {
            self.open += 1
            return .connect
        }
        guard self.waiters.count < self.waiting else { return .overloaded }
        self.waiters.append(waiter)
        return .wait
    }

    /// - Returns: whether it waited.
    @discardableResult
    mutating func remove(_ waiter: Waiter) -> Bool {
        guard let index = self.waiters.firstIndex(where: { $0 === waiter }) else { return false }
        self.waiters.remove(at: index)
        return true
    }

    /// Who gets a connection that is free again.
    mutating func takeWaiter() -> Waiter? {
        self.waiters.popFirst()
    }

    /// Who may set up another connection in the place of one that is gone; it is counted already.
    mutating func connectionIsGone() -> Waiter? {
        if let waiter = self.waiters.popFirst() { return waiter }
        self.open = max(0, self.open - 1)
        return nil
    }
}
