import KeyProtocol
import Logging
import Metrics
import TLSWire

/// Says what becomes of one domain's lease: one log line for each change, and metrics.
final class LeaseReport {
    private let logger: Logger
    private let domain: String
    private let leased: Gauge
    private let expiry: Gauge
    /// Whether there was a lease before, so that another certificate is news.
    private var isServed = false

    init(_ pattern: ServerNamePattern, keyHolder: String, logger: Logger) {
        var logger = logger
        logger[metadataKey: "site"] = "\(pattern)"
        logger[metadataKey: "keyholder"] = "\(keyHolder)"
        self.logger = logger
        self.domain = "\(pattern)"
        self.leased = Gauge(label: "latchstring_edge_lease", dimensions: [("domain", "\(pattern)")])
        self.expiry = Gauge(
            label: "latchstring_edge_certificate_not_after_seconds", dimensions: [("domain", "\(pattern)")])
        self.leased.record(0)
    }

    /// A lease began, or the certificate is another one.
    func served(_ answer: CertificateAnswer) {
        let notAfter = answer.chains.map(\.notAfter).min() ?? 0
        let lengths = answer.chains.map { "\($0.certificates.count)" }.joined(separator: ",")
        self.logger.notice(
            self.isServed ? "certificate replaced" : "lease begun",
            metadata: ["not_after": "\(notAfter)", "chain_lengths": "\(lengths)"])
        self.isServed = true
        self.leased.record(1)
        self.expiry.record(notAfter)
    }

    func ended(_ end: LeaseEnd) {
        self.isServed = false
        self.leased.record(0)
        Counter(
            label: "latchstring_edge_leases_ended_total",
            dimensions: [("domain", self.domain), ("reason", end.reason.rawValue)]
        ).increment()
        self.logger.warning(
            "lease ended: the site is not served", metadata: ["reason": "\(end.reason.rawValue)", "error": "\(end)"])
    }

    func notFetched(_ problem: String, isNews: Bool) {
        self.logger.log(
            level: isNews ? .warning : .debug, "certificate not fetched", metadata: ["error": "\(problem)"])
    }
}
