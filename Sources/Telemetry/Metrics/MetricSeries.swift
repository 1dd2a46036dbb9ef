internal import Atomics
internal import CoreMetrics

/// One line, or one histogram, of the exposition. Updates take no lock.
protocol MetricSeries: AnyObject, Sendable {
    /// Appends this series' lines. `labels` is empty or in braces.
    func write(name: String, labels: String, into text: inout String)
}

final class CounterSeries: MetricSeries, CounterHandler {
    private let value = ManagedAtomic<Int64>(0)

    func increment(by amount: Int64) {
        self.value.wrappingIncrement(by: amount, ordering: .relaxed)
    }

    func reset() {
        self.value.store(0, ordering: .relaxed)
    }

    func write(name: String, labels: String, into text: inout String) {
        text += "\(name)\(labels) \(self.value.load(ordering: .relaxed))\n"
    }
}

/// A double that many threads add to.
final class AtomicDouble: Sendable {
    private let bits = ManagedAtomic<UInt64>(0)

    var value: Double { Double(bitPattern: self.bits.load(ordering: .relaxed)) }

    func set(_ value: Double) {
        self.bits.store(value.bitPattern, ordering: .relaxed)
    }

    func add(_ amount: Double) {
        var current = self.bits.load(ordering: .relaxed)
        while true {
            let next = (Double(bitPattern: current) + amount).bitPattern
            let (done, seen) = self.bits.weakCompareExchange(
                expected: current, desired: next, successOrdering: .relaxed, failureOrdering: .relaxed)
            if done { return }
            current = seen
        }
    }
}

final class FloatingPointCounterSeries: MetricSeries, FloatingPointCounterHandler {
    private let value = AtomicDouble()

    func increment(by amount: Double) {
        // A counter never goes down.
        if amount > 0, amount.isFinite { self.value.add(amount) }
    }

    func reset() { self.value.set(0) }

    func write(name: String, labels: String, into text: inout String) {
        text += "\(name)\(labels) \(MetricNames.number(self.value.value))\n"
    }
}

/// A meter, or a recorder that keeps the last value only.
final class GaugeSeries: MetricSeries, MeterHandler, RecorderHandler {
    private let value = AtomicDouble()

    func set(_ value: Int64) { self.value.set(Double(value)) }
    func set(_ value: Double) { self.value.set(value) }
    func increment(by amount: Double) { self.value.add(amount) }
    func decrement(by amount: Double) { self.value.add(-amount) }
    func record(_ value: Int64) { self.set(value) }
    func record(_ value: Double) { self.set(value) }

    func write(name: String, labels: String, into text: inout String) {
        text += "\(name)\(labels) \(MetricNames.number(self.value.value))\n"
    }
}

/// A timer, or a recorder that aggregates.
final class HistogramSeries: MetricSeries, TimerHandler, RecorderHandler {
    /// Upper bounds in seconds: a local key operation takes tens of microseconds, a stuck origin a minute.
    static let seconds: [Double] = [
        0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]
    /// Upper bounds for values without a unit: bytes, counts.
    static let powersOfFour: [Double] = (0...15).map { Double(UInt64(1) << (2 * UInt64($0))) }

    private let bounds: [Double]
    /// One more than `bounds`: the last one has no upper bound. Not cumulative; `write` sums them up.
    private let counts: [ManagedAtomic<Int64>]
    private let sum = AtomicDouble()

    init(bounds: [Double]) {
        self.bounds = bounds
        self.counts = (0...bounds.count).map { _ in ManagedAtomic(0) }
    }

    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1_000_000_000) }
    func record(_ value: Int64) { self.record(Double(value)) }

    func record(_ value: Double) {
        guard !value.isNaN else { return }
        let bucket = self.bounds.firstIndex { value <= $0 } ?? self.bounds.count
        self.counts[bucket].wrappingIncrement(ordering: .relaxed)
        self.sum.add(value)
    }

    func write(name: String, labels: String, into text: inout String) {
        var cumulative: Int64 = 0
        for (index, count) in self.counts.enumerated() {
            cumulative += count.load(ordering: .relaxed)
            let bound = index < self.bounds.count ? MetricNames.number(self.bounds[index]) : "+Inf"
            text += "\(name)_bucket\(MetricNames.adding("le=\"\(bound)\"", to: labels)) \(cumulative)\n"
        }
        text += "\(name)_sum\(labels) \(MetricNames.number(self.sum.value))\n"
        text += "\(name)_count\(labels) \(cumulative)\n"
    }
}
