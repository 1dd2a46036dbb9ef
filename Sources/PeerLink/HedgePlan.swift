/// When a signature that is not there yet is asked for at a second key holder, too, and when that is too much.
///
/// It is asked for after the time within which 95 of 100 answers came, so that of 100 operations about five are, and never more
/// than its share: each operation earns a part of a hedge. A key holder that refuses for want of room or rate ends all hedging for a
/// second: where there is too much to do, doing things twice is no help.
///
/// Pure: times are arguments, in nanoseconds of a monotonic clock.
struct HedgePlan: Sendable {
    /// Hedges for each operation; 0: none are made.
    let share: Double
    private var budget: Double
    private var overloadedUntil: Int64 = .min
    /// Of signatures, and of all else: begins of handshakes for the most part, which take longer.
    private var latencies = LatencyQuantiles()
    private var otherLatencies = LatencyQuantiles()

    /// Hedges in a row, after a quiet time.
    static let burst = 10.0
    static let restAfterOverload: Int64 = 1_000_000_000
    /// Below this it is no better than the machine's own noise.
    static let shortestWait: Int64 = 2_000_000
    /// Before there is a measure, and at most.
    static let longestWait: Int64 = 250_000_000
    /// A key holder is silent that takes so many times as long as most answers.
    static let patience: (times: Int64, least: Int64) = (4, 100_000_000)

    init(share: Double) {
        self.share = share
        self.budget = share > 0 ? 1 : 0
    }

    /// An operation was begun.
    mutating func began() { self.budget = min(Self.burst, self.budget + self.share) }

    mutating func answered(after nanoseconds: Int64, isSignature: Bool) {
        if isSignature { self.latencies.add(nanoseconds) } else { self.otherLatencies.add(nanoseconds) }
    }

    /// A key holder has too much to do.
    mutating func refused(now: Int64) { self.overloadedUntil = now + Self.restAfterOverload }

    /// How long an answer may take before it is asked for elsewhere, too.
    var wait: Int64 {
        min(max(self.latencies.quantile(0.95) ?? Self.longestWait, Self.shortestWait), Self.longestWait)
    }

    /// How long a key holder may be silent with work before it is left. At most a quarter of what a handshake may take. When half of it is
    /// over, a ping asks whether it is there at all: what answers that has work that takes long, and is not left.
    ///
    /// - Parameter withOthers: It may have other work than signatures.
    func patience(within deadline: Int64, withOthers: Bool) -> Int64 {
        let others = withOthers ? self.otherLatencies.quantile(0.95) ?? 0 : 0
        let usual = max(self.latencies.quantile(0.95) ?? 0, others)
        return min(max(Self.patience.times * usual, Self.patience.least), deadline / 4)
    }

    /// Whether a hedge may be made now; then it counts.
    mutating func take(now: Int64) -> Bool {
        guard self.share > 0, now >= self.overloadedUntil, self.budget >= 1 else { return false }
        self.budget -= 1
        return true
    }
}
