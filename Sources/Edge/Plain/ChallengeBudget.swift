import Admission

/// How often key holders are asked for what authorities want to see, since clients without TLS send what they like. One network uses up
/// what it has itself, long before it uses up what all have together. Pure; times are monotonic nanoseconds.
struct ChallengeBudget {
    /// Questions per second of one network: an authority asks once for each name, from some networks.
    static let perNetwork = 2
    static let burstPerNetwork = 10
    /// The same of all networks together.
    static let total = 20
    static let totalBurst = 40

    private var networks: ClientRates
    private var all: TokenBucket

    init(now: UInt64) {
        self.networks = ClientRates(
            perSecond: Self.perNetwork, burst: Self.burstPerNetwork, capacity: 4096, now: now)
        self.all = TokenBucket(perSecond: Self.total, burst: Self.totalBurst, now: now)
    }

    /// Takes a question of the network; false if there is none left.
    mutating func take(_ network: ClientNetwork, now: UInt64) -> Bool {
        self.networks.take(network, now: now) && self.all.take(now: now)
    }
}
