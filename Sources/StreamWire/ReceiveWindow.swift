/// How much the peer may send on one stream, and when it is told that it may send more. Pure.
///
/// What is allowed and what waits to be read are never more than ``size`` together. A stream whose reader keeps up has its size doubled each time
/// that so much has gone through, as far as its link's ``WindowBudget`` has room; one whose reader falls behind loses half of it again.
struct ReceiveWindow {
    /// Bytes.
    private(set) var size: Int
    /// That the peer may still send.
    private(set) var allowed: Int
    /// Received, and not read yet.
    private(set) var unread = 0
    /// Received since the size has changed.
    private var passed = 0
    private let smallest: Int

    /// - Parameter allowed: what the peer may send before it is told anything; nil: all.
    init(size: Int, allowed: Int? = nil) {
        self.size = size
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
    mutating func read(_ count: Int, largest: Int, budget: inout WindowBudget) -> Int {
        self.unread -= min(count, self.unread)
        if self.unread == 0, self.passed >= self.size, self.size * 2 <= largest, budget.take(self.size) {
            self.size *= 2
            self.passed = 0
        } else if self.unread > self.size / 2, self.size > self.smallest {
            self.size /= 2
            budget.giveBack(self.size)
            self.passed = 0
        }
        let more = self.size - self.unread - self.allowed
        // Half of it at once: every byte by itself would cost a frame.
        guard more >= self.size / 2 else { return 0 }
        return self.grant(more)
    }

    /// All that there is room for; 0: nothing.
    mutating func grantAll() -> Int { self.grant(max(0, self.size - self.unread - self.allowed)) }

    private mutating func grant(_ more: Int) -> Int {
        self.allowed += more
        return more
    }

    /// The stream is no more.
    func release(_ budget: inout WindowBudget) { budget.giveBack(self.size - self.smallest) }
}

/// By how many bytes the windows of a link's streams may be larger than they are at first, all together.
struct WindowBudget {
    private(set) var left: Int

    init(_ bytes: Int) { self.left = bytes }

    mutating func take(_ bytes: Int) -> Bool {
        guard bytes <= self.left else { return false }
        self.left -= bytes
        return true
    }

    mutating func giveBack(_ bytes: Int) { self.left += bytes }
}
