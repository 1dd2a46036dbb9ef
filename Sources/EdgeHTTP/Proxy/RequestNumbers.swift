import Synchronization

/// Names for requests that differ from all others: a count in each process, mixed with its own random numbers. They are no secret.
final class RequestNumbers: Sendable {
    static let shared = RequestNumbers()

    private let count = Atomic<UInt64>(0)
    private let seeds = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))

    /// No two of one process are the same: each half is a bijection of the count.
    func next() -> (UInt64, UInt64) {
        let number = self.count.add(1, ordering: .relaxed).oldValue
        return (Self.mixed(number &+ self.seeds.0), Self.mixed(number ^ self.seeds.1))
    }

    /// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
    private static func mixed(_ number: UInt64) -> UInt64 {
        var mixed = number
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
