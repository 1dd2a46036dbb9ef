/// A rate limit: so many operations per second, with a burst on top. Pure; times are monotonic nanoseconds.
public struct TokenBucket: Equatable, Sendable {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var updated: UInt64

    /// - Parameters:
    ///   - perSecond: Tokens that come back each second.
    ///   - burst: How many there are at most, and at first.
    public init(perSecond: Int, burst: Int, now: UInt64) {
        self.perSecond = Double(perSecond)
        self.burst = Double(burst)
        self.tokens = Double(burst)
        self.updated = now
    }

    /// Takes a token, if there is one. A time before the last one counts as the last one.
    public mutating func take(now: UInt64) -> Bool {
        self.refill(now)
        guard self.tokens >= 1 else { return false }
        self.tokens -= 1
        return true
    }

    /// Takes tokens for what has happened already, there or not. The debt is one second's tokens at most.
    ///
    /// - Returns: Nanoseconds until the debt is paid; 0 where there is none.
    public mutating func charge(_ count: Int, now: UInt64) -> UInt64 {
        self.refill(now)
        guard self.perSecond > 0 else { return .max }
        self.tokens = max(-self.perSecond, self.tokens - Double(count))
        return self.tokens < 0 ? UInt64(-self.tokens / self.perSecond * 1_000_000_000) : 0
    }

    /// Takes all tokens away.
    public mutating func drain(now: UInt64) {
        self.refill(now)
        self.tokens = min(self.tokens, 0)
    }

    /// Whether there are as many tokens as there can be: the bucket is as good as a new one.
    public func isFull(now: UInt64) -> Bool {
        var bucket = self
        bucket.refill(now)
        return bucket.tokens >= bucket.burst
    }

    /// When the next token is there; the time that it was last asked, if there is one already; `.max` if none ever comes.
    public var nextToken: UInt64 {
        guard self.tokens < 1 else { return self.updated }
        guard self.perSecond > 0 else { return .max }
        return self.updated + UInt64(((1 - self.tokens) / self.perSecond * 1_000_000_000).rounded(.up))
    }

    private mutating func refill(_ now: UInt64) {
        guard now > self.updated else { return }
        let elapsed: Double = Double(now - self.updated) / 1_000_000_000
        self.tokens = min(self.burst, self.tokens + elapsed * self.perSecond)
        self.updated = now
    }
}
