/// A rate limit: so many operations per second, with a burst on top. Pure; times are monotonic nanoseconds.
struct TokenBucket: Equatable, Sendable {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var updated: UInt64

    /// - Parameters:
    ///   - perSecond: Tokens that come back each second.
    ///   - burst: How many there are at most, and at first.
    init(perSecond: Int, burst: Int, now: UInt64) {
        self.perSecond = Double(perSecond)
        self.burst = Double(burst)
        self.tokens = Double(burst)
        self.updated = now
    }

    /// Takes a token, if there is one. A time before the last one counts as the last one.
    mutating func take(now: UInt64) -> Bool {
        if now > self.updated {
            let elapsed: Double = Double(now - self.updated) / 1_000_000_000
            self.tokens = min(self.burst, self.tokens + elapsed * self.perSecond)
            self.updated = now
        }
        guard self.tokens >= 1 else { return false }
        self.tokens -= 1
        return true
    }
}
