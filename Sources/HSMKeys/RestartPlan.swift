/// When workers of a token may be started. The first that ends is replaced at once; where they go on ending without an answer between,
/// the pauses double. Pure; times are monotonic nanoseconds.
struct RestartPlan: Equatable {
    /// The second pause.
    static let first: UInt64 = 500_000_000
    static let ceiling: UInt64 = 30_000_000_000

    /// Since the last answer.
    private(set) var failures = 0
    private var notBefore: UInt64 = 0

    func mayStart(now: UInt64) -> Bool { now >= self.notBefore }

    /// A worker could not be started, or ended, or was ended.
    mutating func failed(now: UInt64) {
        self.failures += 1
        self.notBefore = now + Self.pause(after: self.failures)
    }

    /// A worker did what it was asked.
    mutating func succeeded() {
        self.failures = 0
        self.notBefore = 0
    }

    static func pause(after failures: Int) -> UInt64 {
        guard failures > 1 else { return 0 }
        return min(Self.ceiling, Self.first << UInt64(min(failures - 2, 10)))
    }
}
