/// How many log lines of one kind are written, where strangers can cause them. Pure; times are monotonic nanoseconds.
public struct LineBudget: Sendable {
    private var bucket: TokenBucket
    private var left = 0

    /// - Parameters:
    ///   - perSecond: Lines in the long run.
    ///   - burst: Lines at once.
    public init(perSecond: Int, burst: Int, now: UInt64) {
        self.bucket = TokenBucket(perSecond: perSecond, burst: burst, now: now)
    }

    /// A line wants to be written.
    ///
    /// - Returns: how many were left out since the last one that was; nil: leave this one out, too.
    public mutating func ask(now: UInt64) -> Int? {
        guard self.bucket.take(now: now) else {
            self.left += 1
            return nil
        }
        return self.takeLeftOut()
    }

    /// How many were left out and have not been told yet.
    public mutating func takeLeftOut() -> Int {
        defer { self.left = 0 }
        return self.left
    }
}
