import EdgeModel
import Metrics
import NIOCore

/// One site's counters. Those that every request touches are made once.
final class ProxyMetrics: Sendable {
    private let site: String
    private let factory: any MetricsFactory
    private let byClass: [Counter]
    private let duration: Timer

    init(site: String, factory: any MetricsFactory) {
        self.site = site
        self.factory = factory
        self.byClass = (1...5).map { number in
            Counter(
                label: "latchstring_edge_requests_total", dimensions: [("site", site), ("status", "\(number)xx")],
                factory: factory)
        }
        self.duration = Timer(
            label: "latchstring_edge_request_seconds", dimensions: [("site", site)], factory: factory)
    }

    func request(status: Int, duration: TimeAmount) {
        let index = status / 100 - 1
        if self.byClass.indices.contains(index) { self.byClass[index].increment() }
        self.duration.recordNanoseconds(duration.nanoseconds)
    }

    /// A connection or stream of HTTP/2 was ended for what the client did.
    func http2Refused(_ reason: String) {
        Counter(
            label: "latchstring_edge_http2_refused_total", dimensions: [("site", self.site), ("reason", reason)],
            factory: self.factory
        ).increment()
    }

    /// A request was given up because its client was too slow.
    ///
    /// - Parameter reading: it took too little of the response; otherwise it sent too little of its body.
    func clientTooSlow(reading: Bool) {
        Counter(
            label: "latchstring_edge_slow_clients_total",
            dimensions: [("site", self.site), ("direction", reading ? "response" : "request")], factory: self.factory
        ).increment()
    }

    func originFailed(_ cause: String) {
        Counter(
            label: "latchstring_edge_origin_failures_total", dimensions: [("site", self.site), ("cause", cause)],
            factory: self.factory
        ).increment()
    }
}
