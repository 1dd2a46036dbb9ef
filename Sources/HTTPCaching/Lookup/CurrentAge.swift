extension StoredResponse {
    /// How old it is, in milliseconds (RFC 9111 §4.2.3). Never negative, also where the clock was set back.
    public func currentAge(at now: Int64) -> Int64 {
        let resident = max(0, now.saturatingSubtract(self.responseTime))
        return self.freshness.initialAge.saturatingAdd(resident)
    }

    /// How long it stays fresh, in milliseconds; negative: for how long it has been stale.
    public func timeToLive(at now: Int64) -> Int64 {
        self.freshness.lifetime.saturatingSubtract(self.currentAge(at: now))
    }

    /// Whether it may be used without asking the origin, as far as the response itself is concerned.
    public func isFresh(at now: Int64) -> Bool {
        self.freshness.flags.isDisjoint(with: [.noCache, .invalidated]) && self.timeToLive(at: now) > 0
    }

    /// The same response with its lifetime ended now, by a soft purge: it is stale, may be served stale where it could
    /// be before, and those windows begin now.
    public func softlyPurged(at now: Int64) -> StoredResponse {
        var purged = self
        let age = self.currentAge(at: now)
        if age < self.freshness.lifetime {
            purged.freshness.lifetime = age
            purged.freshness.flags.insert(.softlyPurged)
        }
        return purged
    }

    /// The same response after an unsafe request: never used again without validation (RFC 9111 §4.4).
    public func invalidated() -> StoredResponse {
        var invalidated = self
        invalidated.freshness.flags.insert(.invalidated)
        return invalidated
    }
}
