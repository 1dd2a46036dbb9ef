import FleetBus
import Metrics

/// What following costs and meets. All are made once.
final class FollowMetrics: Sendable {
    enum Flush: String, CaseIterable {
        case missingOrders = "missing-orders"
        case noRecord = "no-record"
        case otherGeneration = "other-generation"
        case lostPlace = "lost-place"
        case newSigner = "new-signer"
        case lateStart = "late-start"

        init(_ doubt: FollowMachine.Doubt) {
            switch doubt {
            case .noRecord: self = .noRecord
            case .otherGeneration: self = .otherGeneration
            case .lostPlace: self = .lostPlace
            case .newSigner: self = .newSigner
            }
        }
    }

    private let up: Gauge
    private let losses: Counter
    private let applied: Counter
    private let known: Counter
    private let refused: [RefusalReason: Counter]
    private let flushes: [Flush: Counter]
    private let reportsFailed: Counter
    private let storeFailures: Counter

    init(factory: any MetricsFactory) {
        func counter(_ name: String, _ labels: (String, String)...) -> Counter {
            Counter(label: "latchstring_fleet_\(name)", dimensions: labels, factory: factory)
        }
        self.up = Gauge(label: "latchstring_fleet_bus_up", dimensions: [], factory: factory)
        self.losses = counter("bus_losses_total")
        self.applied = counter("orders_total", ("outcome", "done"))
        self.known = counter("orders_total", ("outcome", "known"))
        self.refused = Dictionary(
            uniqueKeysWithValues: RefusalReason.allCases.map { ($0, counter("refused_total", ("reason", $0.word))) })
        self.flushes = Dictionary(
            uniqueKeysWithValues: Flush.allCases.map { ($0, counter("flushes_total", ("cause", $0.rawValue))) })
        self.reportsFailed = counter("reports_failed_total")
        self.storeFailures = counter("store_failures_total")
        self.up.record(0)
    }

    func isUp(_ up: Bool) { self.up.record(up ? 1 : 0) }
    func lost() { self.losses.increment() }
    func done(_ count: Int) { if count > 0 { self.applied.increment(by: count) } }
    func known(_ count: Int) { if count > 0 { self.known.increment(by: count) } }
    func refused(_ reason: RefusalReason) { self.refused[reason]?.increment() }
    func flushed(_ flush: Flush) { self.flushes[flush]?.increment() }
    func reportFailed() { self.reportsFailed.increment() }
    func storeFailed() { self.storeFailures.increment() }
}
