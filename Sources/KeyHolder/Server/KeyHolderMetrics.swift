import Metrics
import Synchronization

/// What the key holder counts. Labels stay few: an operation's name and an outcome, never an edge, site or address.
final class KeyHolderMetrics: Sendable {
    private struct Key: Hashable {
        var operation: String
        var outcome: AuditOutcome
    }

    private let counters = Mutex<[Key: Counter]>([:])
    private let timers = Mutex<[String: Metrics.Timer]>([:])
    private let gauge: Gauge
    private let refusedConnections: Counter

    init() {
        self.gauge = Gauge(label: "latchstring_keyholder_connections")
        self.refusedConnections = Counter(label: "latchstring_keyholder_connections_refused_total")
    }

    /// - Parameter nanoseconds: From the packet's arrival to its answer.
    func operation(_ name: String, _ outcome: AuditOutcome, nanoseconds: Int64) {
        let key = Key(operation: name, outcome: outcome)
        let counter: Counter = self.counters.withLock { counters in
            if let counter = counters[key] { return counter }
            let counter = Counter(
                label: "latchstring_keyholder_operations_total",
                dimensions: [("operation", name), ("outcome", outcome.rawValue)])
            counters[key] = counter
            return counter
        }
        counter.increment()
        guard outcome == .ok else { return }
        let timer: Metrics.Timer = self.timers.withLock { timers in
            if let timer = timers[name] { return timer }
            let timer = Metrics.Timer(
                label: "latchstring_keyholder_operation_seconds", dimensions: [("operation", name)])
            timers[name] = timer
            return timer
        }
        timer.recordNanoseconds(nanoseconds)
    }

    func connections(_ count: Int) {
        self.gauge.record(count)
    }

    func connectionRefused() {
        self.refusedConnections.increment()
    }
}
