import Metrics
import NIOCore

/// What is measured of one site's origin, on all event loops.
final class OriginMetrics: Sendable {
    private let seconds: Timer
    private let connects: Timer
    private let failedConnects: Counter
    private let connections: Meter

    init(site: String, factory: any MetricsFactory) {
        let labels = [("site", site)]
        self.seconds = Timer(label: "latchstring_edge_origin_seconds", dimensions: labels, factory: factory)
        self.connects = Timer(label: "latchstring_edge_origin_connect_seconds", dimensions: labels, factory: factory)
        self.failedConnects = Counter(
            label: "latchstring_edge_origin_connects_failed_total", dimensions: labels, factory: factory)
        self.connections = Meter(label: "latchstring_edge_origin_connections", dimensions: labels, factory: factory)
    }

    /// The head of an answer came.
    func answered(after time: TimeAmount) { self.seconds.recordNanoseconds(time.nanoseconds) }

    /// A connection is being set up.
    func opened() { self.connections.increment() }
    func closed() { self.connections.decrement() }

    /// The setting up, TLS included, has come to an end.
    func connected(after time: TimeAmount, isUp: Bool) {
        if isUp { self.connects.recordNanoseconds(time.nanoseconds) } else { self.failedConnects.increment() }
    }
}
