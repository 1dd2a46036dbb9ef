import Telemetry

/// The process's metrics, summed up for a page.
struct StatusFigures {
    private struct Key: Hashable {
        var name: String
        var label: String
        var value: String
    }

    /// Labels by which the page has rows: the samples of one are found without a look at the others.
    private static let rowLabels = ["site", "domain", "address", "keyholder", "operation"]

    private let samples: [String: [MetricSample]]
    private let rows: [Key: [MetricSample]]

    /// Buckets of histograms are left out.
    init(_ samples: [MetricSample]) {
        let shown = samples.filter { !$0.name.hasSuffix("_bucket") }
        self.samples = Dictionary(grouping: shown, by: \.name)
        var rows: [Key: [MetricSample]] = [:]
        for sample in shown {
            for label in Self.rowLabels {
                guard let value = sample.labels[label] else { continue }
                rows[Key(name: sample.name, label: label, value: value), default: []].append(sample)
            }
        }
        self.rows = rows
    }

    func all(_ name: String) -> [MetricSample] { self.samples[name] ?? [] }

    /// The sum of a metric's values with these labels; nil if there are none.
    func sum(_ name: String, _ labels: [String: String] = [:], where matches: (MetricSample) -> Bool = { _ in true })
        -> Double?
    {
        let row = Self.rowLabels.lazy.compactMap { label in
            labels[label].map { Key(name: name, label: label, value: $0) }
        }.first
        let candidates = row.map { self.rows[$0] ?? [] } ?? self.all(name)
        let found = candidates.filter { sample in
            labels.allSatisfy { sample.labels[$0.key] == $0.value } && matches(sample)
        }
        return found.isEmpty ? nil : found.reduce(0) { $0 + $1.value }
    }

    /// The values of a label, in order.
    func values(of label: String, in names: String...) -> [String] {
        Set(names.flatMap { self.all($0) }.compactMap { $0.labels[label] }).sorted()
    }

    /// The mean of a histogram, as `12.3 ms`; `-` before the first event.
    func mean(_ name: String, _ labels: [String: String]) -> String {
        guard let count = self.sum(name + "_count", labels), count > 0, let sum = self.sum(name + "_sum", labels) else {
            return "-"
        }
        return Self.milliseconds(sum / count)
    }

    static func milliseconds(_ seconds: Double) -> String {
        let tenths = Int64((seconds * 10_000).rounded())
        return "\(tenths / 10).\(tenths % 10) ms"
    }

    static func count(_ value: Double?) -> String { value.map { "\(Int64($0))" } ?? "0" }

    static func percent(_ part: Double?, of whole: Double?) -> String {
        guard let whole, whole > 0 else { return "-" }
        let tenths = Int64(((part ?? 0) / whole * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }

    static func bytes(_ value: Double?) -> String {
        var value = value ?? 0
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 { return "\(Int64(value)) \(unit)" }
            value /= 1024
        }
        return "\(Int64(value)) TiB"
    }

    /// `90 days`; from a Unix time.
    static func left(until time: Double, now: Double, warningDays: Int64 = 14) -> (text: String, isBad: Bool) {
        guard time > 0 else { return ("none yet", true) }
        let seconds = time - now
        if seconds <= 0 { return ("expired", true) }
        let days = Int64(seconds / 86_400)
        return ("\(days) day\(days == 1 ? "" : "s")", days < warningDays)
    }

    /// `3 d 4 h`.
    static func age(_ seconds: Double) -> String {
        let minutes = Int64(max(0, seconds) / 60)
        if minutes < 60 { return "\(minutes) min" }
        if minutes < 1440 { return "\(minutes / 60) h \(minutes % 60) min" }
        return "\(minutes / 1440) d \(minutes / 60 % 24) h"
    }
}
