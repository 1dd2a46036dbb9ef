/// How long to wait before the next attempt to reconnect: doubling, with jitter, up to a ceiling.
///
/// Pure: the random number is an argument. Jitter keeps a thousand edges from coming back in the same millisecond after
/// their key holder restarts.
public struct BackOff: Sendable, Equatable {
    /// Milliseconds.
    let first: Int64
    let ceiling: Int64
    public private(set) var attempts: Int = 0

    public init(first: Int64 = 100, ceiling: Int64 = 5000) {
        self.first = first
        self.ceiling = ceiling
    }

    /// The next delay in milliseconds.
    ///
    /// - Parameter random: 0 to 1; the delay lies between half of the doubled step and all of it.
    public mutating func next(random: Double) -> Int64 {
        let doubled = self.attempts < 30 ? self.first << Int64(self.attempts) : self.ceiling
        self.attempts += 1
        let step = min(doubled, self.ceiling)
        return step / 2 + Int64(Double(step - step / 2) * min(max(random, 0), 1))
    }

    public mutating func reset() { self.attempts = 0 }
}
