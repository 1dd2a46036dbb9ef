/// When a listener accepts. Pure; times are monotonic nanoseconds.
///
/// A listener that is full, or whose process or machine is out of file descriptors or memory for sockets, must not go on
/// accepting: the system would report the same connection as new, and the same error, again and again. Connections wait in
/// the listener's backlog meanwhile.
struct AcceptPause {
    enum Cause: String, CaseIterable, Sendable {
        /// There are as many connections as there may be.
        case connections
        /// accept(2) failed: EMFILE, ENFILE, ENOBUFS, ENOMEM.
        case descriptors
    }

    struct Start: Equatable {
        /// When to go on at the latest.
        var until: UInt64
        /// Whether an operator is to be told: once for an episode.
        var isNews: Bool
    }

    /// A pause after a pause is of the same episode unless there was quiet for so long.
    private static let quiet: UInt64 = 60_000_000_000

    private var until: UInt64?
    private var last: [Cause: UInt64] = [:]

    var isPaused: Bool { self.until != nil }

    /// - Parameter length: how long to wait at most.
    mutating func pause(_ cause: Cause, for length: UInt64, now: UInt64) -> Start {
        let end = max(self.until ?? 0, now + length)
        self.until = end
        let isNews = self.last[cause].map { now >= $0 + Self.quiet } ?? true
        self.last[cause] = now
        return Start(until: end, isNews: isNews)
    }

    mutating func resume() { self.until = nil }
}
