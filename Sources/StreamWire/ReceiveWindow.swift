import Synchronization

/// How much the peer may send on one stream, and when it is told that it may send more. Pure.
///
/// A stream whose reader keeps up has its size doubled each time that so much has gone through, where that takes no more than an eighth of what the
/// ``WindowBudget`` has left, so that a few streams leave room for others; one whose
/// reader falls behind has it halved again. What is allowed and what waits to be read may be more than the size then, until it was read, and
/// are never more than ``reserved`` together.
struct ReceiveWindow {
    /// What is aimed at, bytes.
    private(set) var size: Int
    /// What counts: the size, or what is allowed and unread where that is more.
    private(set) var reserved: Int
    /// That the peer may still send.
    private(set) var allowed: Int
    /// Received, and not read yet.
    private(set) var unread = 0
    /// Received since the size has changed.
    private var passed = 0
    private let smallest: Int
    /// One step takes this part of what is left at most.
    private static let share = 8

    /// - Parameter allowed: what the peer may send before it is told anything; nil: all.
    init(size: Int, allowed: Int? = nil) {
        self.size = size
        self.reserved = size
        self.smallest = size
        self.allowed = min(allowed ?? size, size)
    }

    /// - Returns: false: that is more than was allowed.
    mutating func received(_ count: Int) -> Bool {
        guard count <= self.allowed else { return false }
        self.allowed -= count
        self.unread += count
        self.passed += count
        return true
    }

    /// So much was read.
    ///
    /// - Returns: how much more the peer may send; 0: it is not told now.
    mutating func read(_ count: Int, largest: Int, budget: WindowBudget) -> Int {
        self.unread -= min(count, self.unread)
        if self.unread == 0, self.passed >= self.size, self.size * 2 <= largest {
            self.grow(budget)
        } else if self.unread > self.size / 2, self.size > self.smallest {
            self.size = max(self.smallest, self.size / 2)
            self.passed = 0
        }
        self.giveBack(keeping: max(self.size, self.unread + self.allowed), budget)
        let more = self.size - self.unread - self.allowed
        // Half of it at once: every byte by itself would cost a frame.
        guard more >= self.size / 2 else { return 0 }
        return self.grant(more)
    }

    private mutating func grow(_ budget: WindowBudget) {
        let more = max(0, self.size * 2 - self.reserved)
        guard more <= budget.left / Self.share, budget.take(more) else { return }
        self.size *= 2
        self.reserved += more
        self.passed = 0
    }

    /// So much was read, and the peer sends no more.
    mutating func take(_ count: Int, budget: WindowBudget) {
        self.unread -= min(count, self.unread)
        self.giveBack(keeping: max(self.smallest, self.unread), budget)
    }

    /// All that there is room for; 0: nothing.
    mutating func grantAll() -> Int { self.grant(max(0, self.size - self.unread - self.allowed)) }

    private mutating func grant(_ more: Int) -> Int {
        self.allowed += more
        return more
    }

    private mutating func giveBack(keeping kept: Int, _ budget: WindowBudget) {
        guard kept < self.reserved else { return }
        budget.giveBack(self.reserved - kept)
        self.reserved = kept
    }

    /// The stream is no more.
    func release(_ budget: WindowBudget) { budget.giveBack(self.reserved - self.smallest) }
}

/// By how many bytes the windows of streams may be larger than they are at first, all together: those of all links of one peer's, on whatever event
/// loops they are.
public final class WindowBudget: Sendable {
    private let remaining: Atomic<Int>

    public init(_ bytes: Int) { self.remaining = Atomic(bytes) }

    public var left: Int { self.remaining.load(ordering: .relaxed) }

    func take(_ bytes: Int) -> Bool {
        guard self.remaining.subtract(bytes, ordering: .relaxed).newValue < 0 else { return true }
        self.giveBack(bytes)
        return false
    }

    func giveBack(_ bytes: Int) { self.remaining.add(bytes, ordering: .relaxed) }
}
