import KeyProtocol

/// When a link is made anew after it ended.
///
/// Pure: the random number is an argument. Waits grow until a key holder has *served* something, which a lease is: that TCP
/// and TLS come up proves nothing. Where the key holder has said that there is nothing to be had, because the edge has no
/// grant or one of the two is to be upgraded, only an operator can change that: the edge asks seldom.
struct ReconnectPlan: Sendable, Equatable {
    /// For connections that fail or break: 100 ms to 5 s.
    private var failures = BackOff()
    /// For refusals: 1 s to 3 minutes.
    private var refusals = BackOff(first: 1000, ceiling: 180_000)

    init() {}

    /// The next delay in milliseconds.
    ///
    /// - Parameter random: 0 to 1.
    mutating func next(after failure: LinkFailure, random: Double) -> Int64 {
        switch failure {
        case .refused, .formerRevision: self.refusals.next(random: random)
        default: self.failures.next(random: random)
        }
    }

    mutating func served() {
        self.failures.reset()
        self.refusals.reset()
    }
}
