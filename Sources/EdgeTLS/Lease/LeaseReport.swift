package import KeyProtocol
package import Logging
import Metrics
package import Stapling
package import TLSWire

/// Says what becomes of one domain's lease: one log line for each change, and metrics.
package final class LeaseReport {
    private let logger: Logger
    private let domain: String
    /// Whether there was a lease before, so that another certificate is news.
    private var isServed = false
    private var notAfter: Int64 = 0
    private var staples: [StapleFinding] = []
    private var areStaplesShown = false
    /// Whether the metrics have an expiry from here.
    private var isExpiryShown = false
    private let standing: Standing

    /// Whether a generation is the one that takes clients: only that one says what becomes of leases. Bound to its event loop.
    package final class Standing {
        package var isCurrent = false

        package init() {}
    }

    package init(_ pattern: ServerNamePattern, keyHolder: String, standing: Standing, logger: Logger) {
        var logger = logger
        logger[metadataKey: "site"] = "\(pattern)"
        logger[metadataKey: "keyholder"] = "\(keyHolder)"
        self.logger = logger
        self.domain = "\(pattern)"
        self.standing = standing
    }

    /// What holds when the generation becomes the current one.
    package func tellStanding() {
        self.leased.record(self.isServed ? 1 : 0)
        if self.isServed {
            self.expiry.record(self.notAfter)
            self.isExpiryShown = true
            self.tellStaples()
        } else {
            self.hideExpiry()
        }
    }

    /// Another generation takes over: what it serves it says itself, and of what it does not nothing is left to say.
    package func withdraw() {
        guard self.standing.isCurrent else { return }
        self.leased.destroy()
        self.hideExpiry()
    }

    private func hideExpiry() {
        guard self.isExpiryShown else { return }
        self.isExpiryShown = false
        self.expiry.destroy()
        if self.areStaplesShown { self.stapleGauge.destroy() }
        self.areStaplesShown = false
    }

    // MARK: OCSP responses

    /// What is shown beside the certificates from now on.
    package func stapled(_ findings: [StapleFinding]) {
        guard findings != self.staples else { return }
        let problems: [String] = findings.compactMap(\.reason)
        if let problem = problems.first, problems != self.staples.compactMap(\.reason) {
            self.logger.warning("no OCSP response is shown", metadata: ["reason": "\(problem)"])
        } else if problems.isEmpty, findings.contains(where: { $0.response != nil }) {
            let end = findings.compactMap(\.end).min().map { "\($0)" } ?? "none"
            self.logger.notice("OCSP response shown", metadata: ["next_update": "\(end)"])
        }
        self.staples = findings
        if self.standing.isCurrent, self.isServed { self.tellStaples() }
    }

    private func tellStaples() {
        guard self.staples.contains(where: { $0 != .none }) else { return }
        self.areStaplesShown = true
        self.stapleGauge.record(self.staples.contains { $0.reason != nil } ? 0 : 1)
    }

    private var stapleGauge: Gauge {
        Gauge(label: "latchstring_edge_ocsp_stapled", dimensions: [("domain", self.domain)])
    }

    /// Asked for when there is something to say: the generation before may have taken it away.
    private var leased: Gauge { Gauge(label: "latchstring_edge_lease", dimensions: [("domain", self.domain)]) }
    private var expiry: Gauge {
        Gauge(label: "latchstring_edge_certificate_not_after_seconds", dimensions: [("domain", self.domain)])
    }

    /// A lease began, or the certificate is another one.
    package func served(_ answer: CertificateAnswer) {
        let notAfter = answer.chains.map(\.notAfter).min() ?? 0
        let lengths = answer.chains.map { "\($0.certificates.count)" }.joined(separator: ",")
        self.logger.notice(
            self.isServed ? "certificate replaced" : "lease begun",
            metadata: ["not_after": "\(notAfter)", "chain_lengths": "\(lengths)"])
        self.isServed = true
        self.notAfter = notAfter
        if self.standing.isCurrent { self.tellStanding() }
    }

    package func ended(_ end: LeaseEnd) {
        self.isServed = false
        guard self.standing.isCurrent else { return }
        self.tellStanding()
        Counter(
            label: "latchstring_edge_leases_ended_total",
            dimensions: [("domain", self.domain), ("reason", end.reason.rawValue)]
        ).increment()
        self.logger.warning(
            "lease ended: the site is not served", metadata: ["reason": "\(end.reason.rawValue)", "error": "\(end)"])
    }

    package func notFetched(_ problem: String, isNews: Bool) {
        self.logger.log(
            level: isNews ? .warning : .debug, "certificate not fetched", metadata: ["error": "\(problem)"])
    }
}
