import NIOCore

/// When a relayed connection has lasted long enough. Pure: time is an argument.
struct RelayLimits {
    enum Verdict: Equatable {
        /// Fine; ask again then.
        case check(at: NIODeadline)
        /// No byte for the idle limit.
        case idle
        /// Open for as long as a connection may be.
        case lifetime
    }

    private let idle: TimeAmount
    private let end: NIODeadline
    private var lastActivity: NIODeadline

    init(idle: TimeAmount, lifetime: TimeAmount, now: NIODeadline) {
        self.idle = idle
        self.end = now + lifetime
        self.lastActivity = now
    }

    /// Bytes came in.
    mutating func active(now: NIODeadline) {
        self.lastActivity = now
    }

    func check(now: NIODeadline) -> Verdict {
        if now >= self.end { return .lifetime }
        let idleEnd = self.lastActivity + self.idle
        return now >= idleEnd ? .idle : .check(at: min(idleEnd, self.end))
    }
}
