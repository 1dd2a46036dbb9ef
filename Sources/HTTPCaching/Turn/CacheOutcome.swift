/// What the cache did with a request: a word for log lines and metrics, and the reason for those who look closely.
///
/// Costs nothing until it is read: the text of the reason is put together then.
public struct CacheOutcome: Hashable, Sendable {
    public enum Word: String, CaseIterable, Sendable {
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

        /// Its place among all of them.
        public var number: Int {
            switch self {
            case .hit: 0
            case .stale: 1
            case .staleIfError: 2
            case .revalidated: 3
            case .miss: 4
            case .collapsed: 5
            case .bypass: 6
            case .onlyIfCached: 7
            case .failed: 8
            }
        }
    }

    public enum Reason: Hashable, Sendable {
        case none
        case allowed(Hit.Allowance)
        case forwarded(ForwardReason)
        case refused(StoreRefusal)
        /// The origin answered with this status; `nil`: with nothing.
        case originFailed(Int?)
        /// A cause that another part names, such as the one of a connection that failed.
        case cause(String)
        case onlyIfCached
        /// The request that this one waited for failed.
        case collapsed
    }

    public var word: Word
    public var reason: Reason

    public init(_ word: Word, _ reason: Reason) {
        self.word = word
        self.reason = reason
    }

    /// Of an answer from the store.
    public init(_ hit: Hit) {
        let word: Word =
            switch hit.allowance {
            case .fresh: .hit
            case .staleWhileRevalidate, .maxStale: .stale
            case .staleIfError: .staleIfError
            }
        self.init(word, .allowed(hit.allowance))
    }

    /// For logs: one word of ASCII, or several with slashes.
    public var text: String {
        switch self.reason {
        case .none: ""
        case .allowed(let allowance): allowance.rawValue
        case .forwarded(let reason): reason.detail.map { "\(reason.token)/\($0)" } ?? "\(reason.token)"
        case .refused(let refusal): refusal.rawValue
        case .originFailed(let status): status.map { "origin-\($0)" } ?? "origin-failed"
        case .cause(let cause): cause
        case .onlyIfCached: "only-if-cached"
        case .collapsed: "collapsed"
        }
    }
}
