/// How long answers take: a histogram whose steps are a fifth of what they stand for at most, and that forgets.
///
/// Pure. From 1 µs to 34 s; what is outside counts as the nearest of the two.
struct LatencyQuantiles: Sendable, Equatable {
    /// Four for each doubling from 2^10 ns on.
    private var counts = [UInt32](repeating: 0, count: 4 * 25)
    private(set) var total = 0

    /// After so many the former ones count half.
    static let memory = 1024
    /// With fewer there is no answer.
    static let least = 32

    mutating func add(_ nanoseconds: Int64) {
        self.counts[Self.step(of: nanoseconds)] += 1
        self.total += 1
        guard self.total >= Self.memory else { return }
        self.total = 0
        for step in self.counts.indices {
            self.counts[step] /= 2
            self.total += Int(self.counts[step])
        }
    }

    /// What this share of all answers came within, rounded up; nil: there were too few.
    func quantile(_ share: Double) -> Int64? {
        guard self.total >= Self.least else { return nil }
        var left = Int((Double(self.total) * share).rounded(.up))
        for (step, count) in self.counts.enumerated() {
            left -= Int(count)
            if left <= 0 { return Self.upperBound(of: step) }
        }
        return Self.upperBound(of: self.counts.count - 1)
    }

    private static func step(of nanoseconds: Int64) -> Int {
        let value = max(1024, nanoseconds)
        let octave = 63 - value.leadingZeroBitCount
        let quarter = Int((value >> Int64(octave - 2)) & 3)
        return min(4 * (octave - 10) + quarter, 4 * 25 - 1)
    }

    private static func upperBound(of step: Int) -> Int64 {
        let (octave, quarter) = (10 + step / 4, step % 4)
        return Int64(5 + quarter) << Int64(octave - 2)
    }
}
