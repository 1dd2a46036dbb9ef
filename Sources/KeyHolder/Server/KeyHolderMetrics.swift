import Metrics
import Synchronization
import TLSEngine
import TLSWire

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
    private let failedDials: Counter
    private let handshakesUnderWay: Gauge
    /// By the site's name.
    private let expiries = Mutex<[String: Gauge]>([:])
    /// By the site's name; of those with OCSP responses.
    private let staples = Mutex<[String: Gauge]>([:])
    private let exports: [Export: Counter]

    private struct Export: Hashable {
        var version: UInt16
        var resumed: Bool
    }

    init() {
        self.gauge = Gauge(label: "latchstring_keyholder_connections")
        self.refusedConnections = Counter(label: "latchstring_keyholder_connections_refused_total")
        self.failedDials = Counter(label: "latchstring_keyholder_dials_failed_total")
        self.handshakesUnderWay = Gauge(label: "latchstring_keyholder_client_handshakes")
        var exports: [Export: Counter] = [:]
        for version in [TLSVersion.tls12, TLSVersion.tls13] {
            for resumed in [false, true] {
                exports[Export(version: version, resumed: resumed)] = Counter(
                    label: "latchstring_keyholder_sessions_exported_total",
                    dimensions: [("version", TLSNames.version(version)), ("resumed", "\(resumed)")])
            }
        }
        self.exports = exports
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

    /// When the first certificate of each of these sites expires that is shown at this time, 0 where none was issued yet, and nothing of
    /// others.
    ///
    /// - Parameter time: Seconds since 1970.
    func certificates(of sites: [Site], at time: Int64) {
        self.expiries.withLock { expiries in
            var kept: [String: Gauge] = [:]
            for site in sites {
                let gauge =
                    expiries.removeValue(forKey: site.name)
                    ?? Gauge(
                        label: "latchstring_keyholder_certificate_not_after_seconds", dimensions: [("site", site.name)])
                let shown: CredentialSet = site.shown(at: time)
                let ends = site.credentials.enumerated().filter {
                    shown.contains($0.offset) && !$0.element.isPlaceholder
                }
                .map(\.element.notAfter)
                gauge.record(ends.min() ?? 0)
                kept[site.name] = gauge
            }
            for gone in expiries.values { gone.destroy() }
            expiries = kept
        }
        let names = Set(sites.map(\.name))
        self.staples.withLock { staples in
            for (site, gauge) in staples where !names.contains(site) {
                gauge.destroy()
                staples[site] = nil
            }
        }
    }

    /// Whether an OCSP response is shown beside each of a site's certificates.
    func stapled(_ site: String, _ isShown: Bool) {
        self.staples.withLock { staples in
            let gauge =
                staples[site] ?? Gauge(label: "latchstring_keyholder_ocsp_stapled", dimensions: [("site", site)])
            gauge.record(isShown ? 1 : 0)
            staples[site] = gauge
        }
    }

    /// When the key holder's own identity does. Unix time.
    /// The number of the last audit line that was written.
    func audited(_ sequence: UInt64) {
        Gauge(label: "latchstring_keyholder_audit_sequence").record(Int64(clamping: sequence))
    }

    func identity(notAfter: Int64) {
        Gauge(label: "latchstring_keyholder_identity_not_after_seconds").record(notAfter)
    }

    /// An edge's address was not reached.
    func dialFailed() { self.failedDials.increment() }

    func connections(_ count: Int) {
        self.gauge.record(count)
    }

    func connectionRefused() {
        self.refusedConnections.increment()
    }

    func clientHandshakes(_ count: Int) {
        self.handshakesUnderWay.record(count)
    }

    func sessionExported(_ facts: HandshakeFacts) {
        self.exports[Export(version: facts.version, resumed: facts.resumed)]?.increment()
    }
}
