import HTTPCaching

/// What the cache did with a request: a word for log lines and metrics, and the reason for those who look closely.
struct CacheOutcome {
    enum Word: String, CaseIterable {
        /// Answered from the store.
        case hit
        /// Answered from the store after the response's lifetime, as it allows.
        case stale
        /// The origin failed, and a stored response took its place.
        case staleIfError = "stale-if-error"
        /// The origin confirmed what was stored.
        case revalidated
        /// The origin's response, fetched for this request.
        case miss
        /// The origin's response, fetched for another request that was there earlier.
        case collapsed
        /// The origin's response to a request that the store has no part in.
        case bypass
        /// Nothing stored, and the request wanted nothing else.
        case onlyIfCached = "only-if-cached"
        /// No response came.
        case failed
    }

    var word: Word
    /// Constant text.
    var reason: String
}

extension ForwardReason {
    /// For logs.
    var text: String {
        self.detail.map { "\(self.token)/\($0)" } ?? "\(self.token)"
    }
}
