import CoreMetrics
import Foundation
import Metrics
import Testing

@testable import Telemetry

@Suite("Prometheus exposition")
struct PrometheusTests {
    @Test("Counters, gauges, timers and recorders, sorted, with the usual suffixes")
    func kinds() {
        let registry = PrometheusRegistry(help: ["edge.hellos": "ClientHellos by\noutcome."])
        let accepted = Counter(label: "edge.hellos", dimensions: [("outcome", "relay")], factory: registry)
        accepted.increment(by: 2)
        Counter(label: "edge.hellos", dimensions: [("outcome", "rejected")], factory: registry).increment()
        Meter(label: "edge-connections", factory: registry).set(7)
        Gauge(label: "temperature", factory: registry).record(1.5)
        FloatingPointCounter(label: "joules_total", factory: registry).increment(by: 0.25)
        let text = registry.exposition()
        let expected = """
            # TYPE edge_connections gauge
            edge_connections 7
            # HELP edge_hellos_total ClientHellos by\\noutcome.
            # TYPE edge_hellos_total counter
            edge_hellos_total{outcome="rejected"} 1
            edge_hellos_total{outcome="relay"} 2
            # TYPE joules_total counter
            joules_total 0

            """
        #expect(text.hasPrefix(expected.replacing("joules_total 0\n", with: "joules_total 0.25\n")))
        #expect(text.contains("# TYPE temperature gauge\ntemperature 1.5\n"))
        #expect(text.contains("latchstring_metrics_overflow_total 0\n"))
    }

    @Test("A timer is a histogram in seconds: buckets add up, sum and count agree")
    func timer() {
        let registry = PrometheusRegistry()
        let timer = Timer(label: "sign", dimensions: [("key", "p256")], factory: registry)
        timer.recordMilliseconds(3)
        timer.recordMilliseconds(40)
        timer.recordSeconds(100)
        let lines = registry.exposition().split(separator: "\n").map(String.init)
        #expect(lines.first == "# TYPE sign_seconds histogram")
        #expect(lines.contains("sign_seconds_bucket{key=\"p256\",le=\"0.0025\"} 0"))
        #expect(lines.contains("sign_seconds_bucket{key=\"p256\",le=\"0.005\"} 1"))
        #expect(lines.contains("sign_seconds_bucket{key=\"p256\",le=\"0.05\"} 2"))
        #expect(lines.contains("sign_seconds_bucket{key=\"p256\",le=\"60\"} 2"))
        #expect(lines.contains("sign_seconds_bucket{key=\"p256\",le=\"+Inf\"} 3"))
        #expect(lines.contains("sign_seconds_sum{key=\"p256\"} 100.043"))
        #expect(lines.contains("sign_seconds_count{key=\"p256\"} 3"))
    }

    @Test("Label values are escaped, names sanitized, the order of labels does not matter")
    func labels() {
        let registry = PrometheusRegistry()
        Counter(label: "9 lives", dimensions: [("b-b", "x\"y\\z\nw"), ("le", "1")], factory: registry).increment()
        Counter(label: "9 lives", dimensions: [("le", "1"), ("b-b", "x\"y\\z\nw")], factory: registry).increment()
        #expect(registry.exposition().contains("_9_lives_total{b_b=\"x\\\"y\\\\z\\nw\",label_le=\"1\"} 2\n"))
    }

    @Test("Label sets beyond the limit share one series, and are counted")
    func cardinality() {
        let registry = PrometheusRegistry(maximumSeries: 3)
        for number in 0..<10 {
            Counter(label: "names", dimensions: [("sni", "n\(number)")], factory: registry).increment()
        }
        let text = registry.exposition()
        #expect(text.contains("names_total{sni=\"n2\"} 1\n"))
        #expect(!text.contains("n3"))
        #expect(text.contains("names_total{overflow=\"true\"} 7\n"))
        #expect(text.contains("latchstring_metrics_overflow_total 7\n"))
    }

    @Test("One name for two kinds keeps the first, and more names than allowed go nowhere")
    func conflicts() {
        let registry = PrometheusRegistry(maximumNames: 1)
        Meter(label: "a_total", factory: registry).set(1)
        Counter(label: "a", factory: registry).increment()
        Meter(label: "b", factory: registry).set(1)
        let text = registry.exposition()
        #expect(text.hasPrefix("# TYPE a_total gauge\na_total 1\n# HELP"))
        #expect(text.contains("latchstring_metrics_overflow_total 2\n"))
    }

    @Test("So many series as there are domains for: 500 sites lose none")
    func manySites() {
        func lost(_ registry: PrometheusRegistry) -> Bool {
            for site in 0..<500 {
                for outcome in 0..<40 {
                    Counter(
                        label: "a", dimensions: [("site", "\(site)"), ("outcome", "\(outcome)")], factory: registry
                    ).increment()
                }
            }
            return !registry.exposition().contains("latchstring_metrics_overflow_total 0\n")
        }
        #expect(lost(PrometheusRegistry()))
        #expect(!lost(PrometheusRegistry(maximumSeries: PrometheusRegistry.series(domains: 500))))
        // After a reload that brings them.
        let registry = PrometheusRegistry(maximumSeries: PrometheusRegistry.series(domains: 1))
        registry.allow(series: PrometheusRegistry.series(domains: 500))
        #expect(!lost(registry))
    }

    @Test("What the process takes of its machine")
    func process() throws {
        let stat = "17 (a ) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1048576 300 0 1"
        let figures = ProcessFigures(
            stat: stat, ticks: 100, page: 4096, boot: ProcessFigures.boot("cpu 1\nbtime 1000\n"))
        #expect(figures.cpu == 3 && figures.threads == 9 && figures.start == 1123.45)
        #expect(figures.virtualBytes == 1_048_576 && figures.residentBytes == 300 * 4096)
        #expect(ProcessFigures(stat: "", ticks: 100, page: 4096, boot: nil).cpu == nil)
        let text = PrometheusRegistry(help: MetricHelp.lines).exposition()
        let samples = MetricSample.all(in: text)
        func value(_ name: String) throws -> Double { try #require(samples.first { $0.name == name }, "\(name)").value }
        #expect(try value("process_cpu_seconds_total") >= 0)
        #expect(try value("process_resident_memory_bytes") > 1_000_000)
        #expect(try value("process_open_fds") > 2 && value("process_open_fds") < value("process_max_fds"))
        let now = Date().timeIntervalSince1970
        #expect(try value("process_start_time_seconds") < now && value("process_start_time_seconds") > now - 86_400)
        for line in text.split(separator: "\n") where line.hasPrefix("# TYPE process_") {
            let name = line.split(separator: " ")[2]
            #expect(text.contains("# HELP \(name) "), "\(name)")
        }
    }

    @Test("The exposition can be read again, whatever the labels' values are")
    func samples() {
        let registry = PrometheusRegistry()
        let wild = "q\" b\\ n\n c, e= {x}"
        Gauge(label: "g", dimensions: [("a", wild), ("b", "2")], factory: registry).record(1.5)
        let sample = MetricSample.all(in: registry.exposition()).first { $0.name == "g" }
        #expect(sample == MetricSample(name: "g", labels: ["a": wild, "b": "2"], value: 1.5))
    }

    @Test("Each metric of the documentation has a line of help, and the other way round")
    func help() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/metrics.md")
        let rows = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("| `") }
        let names = rows.flatMap { row in
            row.dropFirst().prefix { $0 != "|" }.split(whereSeparator: { "`, ".contains($0) }).map(String.init)
        }
        #expect(names.count > 60)
        let documented = Set(names)
        #expect(documented.subtracting(MetricHelp.lines.keys).isEmpty, "documented, without help")
        #expect(Set(MetricHelp.lines.keys).subtracting(documented).isEmpty, "not documented")
        #expect(documented.count == names.count)
        #expect(MetricHelp.lines.values.allSatisfy { !$0.contains("\n") && $0.hasSuffix(".") })
    }

    @Test("A destroyed metric leaves the text")
    func destroy() {
        let registry = PrometheusRegistry()
        let counter = Counter(label: "a", dimensions: [("k", "v")], factory: registry)
        let kept = Counter(label: "a", factory: registry)
        kept.increment()
        counter.destroy()
        #expect(registry.exposition().hasPrefix("# TYPE a_total counter\na_total 1\n# HELP"))
    }

    @Test("Destroying one of many series looks at no other; made again it begins anew")
    func destroyMany() {
        let registry = PrometheusRegistry(maximumSeries: 30_000)
        let gauges = (0..<30_000).map { Gauge(label: "g", dimensions: [("d", "\($0)")], factory: registry) }
        let begun = ContinuousClock.now
        for gauge in gauges { gauge.destroy() }
        #expect(ContinuousClock.now - begun < .seconds(3))
        #expect(!registry.exposition().contains("g{"))
        // Twice changes nothing.
        gauges[0].destroy()
        Gauge(label: "g", dimensions: [("d", "0")], factory: registry).record(7)
        gauges[0].destroy()
        #expect(registry.exposition().hasPrefix("# TYPE g gauge\ng{d=\"0\"} 7\n# HELP"))
    }

    @Test("Updates from many threads are all counted")
    func concurrency() async {
        let registry = PrometheusRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let counter = Counter(label: "c", factory: registry)
                    let recorder = Recorder(label: "r", factory: registry)
                    for _ in 0..<1000 {
                        counter.increment()
                        recorder.record(2)
                    }
                }
            }
        }
        let text = registry.exposition()
        #expect(text.contains("c_total 8000\n"))
        #expect(text.contains("r_sum 16000\nr_count 8000\n"))
    }
}
