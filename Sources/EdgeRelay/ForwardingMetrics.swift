import Channels
import Metrics

/// The counters of one way of passing clients on: `…_connections_total`, `…_failed_total{reason}`, `…_ended_total{reason}`, `…_bytes_total{from}`.
struct ForwardingMetrics: Sendable {
    private let factory: any MetricsFactory
    private let failedLabel: String
    private let connections: Counter
    private let fromClient: Counter
    private let fromOrigin: Counter
    /// Made once: looking a counter up costs, and every connection ends.
    private let ended: [PumpEnd: Counter]

    /// - Parameter prefix: of all names.
    init(prefix: String, factory: any MetricsFactory) {
        let (bytes, ended) = (prefix + "_bytes_total", prefix + "_ended_total")
        self.factory = factory
        self.failedLabel = prefix + "_failed_total"
        self.connections = Counter(label: prefix + "_connections_total", factory: factory)
        self.fromClient = Counter(label: bytes, dimensions: [("from", "client")], factory: factory)
        self.fromOrigin = Counter(label: bytes, dimensions: [("from", "origin")], factory: factory)
        self.ended = Dictionary(
            uniqueKeysWithValues: PumpEnd.allCases.map { end in
                (end, Counter(label: ended, dimensions: [("reason", end.rawValue)], factory: factory))
            })
    }

    func began() { self.connections.increment() }

    func failed(_ reason: String) {
        Counter(label: self.failedLabel, dimensions: [("reason", reason)], factory: self.factory).increment()
    }

    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {
        self.ended[end]?.increment()
        self.fromClient.increment(by: fromClient)
        self.fromOrigin.increment(by: fromOrigin)
    }
}
