package import NIOCore

/// When a pump has run long enough. Pure: time is an argument.
package struct PumpLimits {
    package enum Verdict: Equatable {
        /// Fine; ask again then, which may be the distant future.
        case check(at: NIODeadline)
        /// No byte for the idle limit.
        case idle
        /// Open for as long as it may be.
        case lifetime
    }

    private let idle: TimeAmount?
    private let end: NIODeadline
    private var lastActivity: NIODeadline

    /// nil: no such limit.
    package init(idle: TimeAmount?, lifetime: TimeAmount?, now: NIODeadline) {
        self.idle = idle
        self.end = lifetime.map { now + $0 } ?? .distantFuture
        self.lastActivity = now
    }

    /// Bytes came in.
    package mutating func active(now: NIODeadline) {
        self.lastActivity = now
    }

    package func check(now: NIODeadline) -> Verdict {
        if now >= self.end { return .lifetime }
        let idleEnd = self.idle.map { self.lastActivity + $0 } ?? .distantFuture
        return now >= idleEnd ? .idle : .check(at: min(idleEnd, self.end))
    }
}
