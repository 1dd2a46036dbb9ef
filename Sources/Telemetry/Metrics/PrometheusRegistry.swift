internal import Atomics
public import CoreMetrics
internal import NIOConcurrencyHelpers

/// A swift-metrics backend that Prometheus can scrape.
///
/// Names: every character that Prometheus does not allow becomes `_`; counters end in `_total`, timers in `_seconds`.
/// Counters are counters; meters and gauges are gauges; timers and recorders are histograms.
///
/// Making a metric takes a lock, updating it does not: keep `Counter`s and the like instead of making them for each
/// event. Two metrics of one name and the same labels are one series. A name gets at most `maximumSeries` label sets;
/// whatever comes after shares one series with the label `overflow="true"`, so that hostile label values cannot fill
/// the memory, and `latchstring_metrics_overflow_total` counts how often that happened.
public final class PrometheusRegistry: MetricsFactory, Sendable {
    private enum Kind: String {
        case counter, gauge, histogram
    }

    private struct Family {
        var kind: Kind
        /// By labels as they are written.
        var series: [String: any MetricSeries] = [:]
        var overflow: (any MetricSeries)?
    }

    private struct State {
        var families: [String: Family] = [:]
        /// Where each series stands, those for what overflows left out: destroying one looks at no other.
        var places: [ObjectIdentifier: (name: String, labels: String)] = [:]
    }

    private let state = NIOLockedValueBox(State())
    private let overflows = ManagedAtomic<Int64>(0)
    private let maximumSeries: ManagedAtomic<Int>
    private let maximumNames: Int
    private let help: [String: String]

    /// - Parameters:
    ///   - maximumSeries: Label sets for each name.
    ///   - maximumNames: Names in all; updates of others go nowhere, and count as overflow.
    ///   - help: One line about a metric, by the label it is made with.
    public init(maximumSeries: Int = 1000, maximumNames: Int = 1000, help: [String: String] = [:]) {
        self.maximumSeries = ManagedAtomic(maximumSeries)
        self.maximumNames = maximumNames
        var exposed: [String: String] = [:]
        for (label, line) in help { exposed[MetricNames.metric(label)] = line }
        self.help = exposed
    }

    /// How many label sets a name may have with so many domains configured: none is left out for their number.
    ///
    /// The most that one metric has for a site are the outcomes of its cache and of its handshakes, about ten each; a fault of each
    /// kind makes one more.
    public static func series(domains: Int) -> Int { 1000 + 100 * domains }

    /// Changes how many label sets each name may have. Those that are there stay.
    public func allow(series: Int) { self.maximumSeries.store(series, ordering: .relaxed) }

    /// Everything in the Prometheus text format, version 0.0.4, names and labels in order.
    public func exposition() -> String {
        var text = ""
        // The lock covers the copying only; writing reads atomics.
        let families = self.state.withLockedValue { $0.families }
        for name in families.keys.sorted() {
            guard let family = families[name] else { continue }
            if let help = self.helpLine(name) {
                text += "# HELP \(name) \(help)\n"
            }
            text += "# TYPE \(name) \(family.kind.rawValue)\n"
            for labels in family.series.keys.sorted() {
                family.series[labels]?.write(name: name, labels: labels, into: &text)
            }
            family.overflow?.write(name: name, labels: "{overflow=\"true\"}", into: &text)
        }
        let name = "latchstring_metrics_overflow_total"
        text += "# HELP \(name) Series that were not kept because a metric had too many label values.\n"
        text += "# TYPE \(name) counter\n\(name) \(self.overflows.load(ordering: .relaxed))\n"
        ProcessFigures.current().write(help: self.help, into: &text)
        return text
    }

    private func helpLine(_ name: String) -> String? {
        for suffix in ["", "_total", "_seconds"] where name.hasSuffix(suffix) {
            guard let line = self.help[String(name.dropLast(suffix.count))] else { continue }
            return line.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
        }
        return nil
    }

    /// The one series of that name and those labels, made if it is new.
    private func series<Series: MetricSeries>(
        _ name: String, _ dimensions: [(String, String)], kind: Kind, make: () -> Series
    ) -> Series {
        let labels = MetricNames.labels(dimensions)
        let found: Series? = self.state.withLockedValue { state in
            if state.families[name] == nil {
                guard state.families.count < self.maximumNames else { return nil }
                state.families[name] = Family(kind: kind)
            }
            guard state.families[name]?.kind == kind else { return nil }
            if let known = state.families[name]?.series[labels] { return known as? Series }
            if let count = state.families[name]?.series.count, count >= self.maximumSeries.load(ordering: .relaxed) {
                self.overflows.wrappingIncrement(ordering: .relaxed)
                if let shared = state.families[name]?.overflow { return shared as? Series }
                let shared = make()
                state.families[name]?.overflow = shared
                return shared
            }
            let new = make()
            state.families[name]?.series[labels] = new
            state.places[ObjectIdentifier(new)] = (name, labels)
            return new
        }
        if let found { return found }
        // A name that stands for another kind already, or one name too many: counted, and kept out of the text.
        self.overflows.wrappingIncrement(ordering: .relaxed)
        return make()
    }

    private func remove(_ handler: AnyObject) {
        self.state.withLockedValue { state in
            guard let (name, labels) = state.places.removeValue(forKey: ObjectIdentifier(handler)) else { return }
            state.families[name]?.series[labels] = nil
            guard let family = state.families[name], family.series.isEmpty, family.overflow == nil else { return }
            state.families[name] = nil
        }
    }

    private static func suffixed(_ label: String, _ suffix: String) -> String {
        let name = MetricNames.metric(label)
        return name.hasSuffix(suffix) ? name : name + suffix
    }
}

extension PrometheusRegistry {
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        self.series(Self.suffixed(label, "_total"), dimensions, kind: .counter) { CounterSeries() }
    }

    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        self.series(Self.suffixed(label, "_total"), dimensions, kind: .counter) { FloatingPointCounterSeries() }
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        self.series(MetricNames.metric(label), dimensions, kind: .gauge) { GaugeSeries() }
    }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        let name = MetricNames.metric(label)
        guard aggregate else { return self.series(name, dimensions, kind: .gauge) { GaugeSeries() } }
        return self.series(name, dimensions, kind: .histogram) { HistogramSeries(bounds: HistogramSeries.powersOfFour) }
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        self.series(Self.suffixed(label, "_seconds"), dimensions, kind: .histogram) {
            HistogramSeries(bounds: HistogramSeries.seconds)
        }
    }

    public func destroyCounter(_ handler: any CounterHandler) { self.remove(handler) }
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { self.remove(handler) }
    public func destroyMeter(_ handler: any MeterHandler) { self.remove(handler) }
    public func destroyRecorder(_ handler: any RecorderHandler) { self.remove(handler) }
    public func destroyTimer(_ handler: any TimerHandler) { self.remove(handler) }
}
