import Admission
import EdgeModel
package import KeyProtocol
import Logging
package import Metrics
import NIOCore
import PeerLink
import TLSWire
package import Telemetry

/// Says how the handshakes of one site end: one metric each, and a log line where the operator should act.
package final class HandshakeReport {
    private let completed: Counter
    private let abandoned: Counter
    private let turnedAway: Counter
    private let clientFailures: Counter
    private let keyHolderFailures: Counter
    private let metrics: any MetricsFactory
    private let reports: ReportLog
    private let site: String
    private let mode: TrustMode
    private let keyHolder: String
    private var nextWarning = NIODeadline.uptimeNanoseconds(0)

    /// While a key holder is away every handshake fails. One warning in this time is enough; the metric counts them all.
    private static let warningInterval = TimeAmount.seconds(10)

    package init(
        site: String, mode: TrustMode, keyHolder: String, reports: ReportLog,
        metrics: any MetricsFactory = MetricsSystem.factory
    ) {
        let labels = [("site", site), ("mode", mode.rawValue)]
        func counter(_ outcome: String) -> Counter {
            Counter(
                label: "latchstring_edge_handshakes_total", dimensions: labels + [("outcome", outcome)],
                factory: metrics)
        }
        self.completed = counter("completed")
        self.abandoned = counter("abandoned")
        self.turnedAway = counter("turned-away")
        self.clientFailures = counter("client-error")
        self.keyHolderFailures = counter("key-holder-error")
        self.metrics = metrics
        self.reports = reports
        self.site = site
        self.mode = mode
        self.keyHolder = keyHolder
    }

    package func record(_ outcome: HandshakeWatch.Outcome, of handOver: RoutedClient) {
        switch outcome {
        case .completed: self.completed.increment()
        case .abandoned: self.abandoned.increment()
        case .failed(TerminationFailure.turnedAway(let refusal)): self.turnedAway(refusal, of: handOver)
        case .failed(let error): self.failed(error, of: handOver)
        }
    }

    /// The client comes too often, or too many come.
    package func turnedAway(_ refusal: HandshakeGate.Refusal, of handOver: RoutedClient) {
        self.turnedAway.increment()
        self.reports.write(
            .info, "handshake turned away",
            [
                "site": "\(handOver.serverName?.rawValue ?? self.site)", "mode": "\(self.mode.rawValue)",
                "client": "\(PeerText(handOver.client.source))", "connection": "\(handOver.connection ?? 0)",
                "reason": "\(refusal.rawValue)",
            ])
    }

    package func failed(_ error: any Error, of handOver: RoutedClient) {
        let ours = Self.isOurs(error)
        (ours ? self.keyHolderFailures : self.clientFailures).increment()
        let level: Logger.Level = ours ? self.levelOfOurs(now: .now()) : .info
        var metadata: Logger.Metadata = [
            "site": "\(handOver.serverName?.rawValue ?? self.site)", "mode": "\(self.mode.rawValue)",
            "client": "\(PeerText(handOver.client.source))",
            "connection": "\(handOver.connection ?? 0)", "error": "\(error)",
        ]
        if ours { metadata["keyholder"] = "\(self.keyHolder)" }
        self.reports.write(level, "handshake failed", metadata)
    }

    /// Something went wrong in a session after its handshake had been completed; usually its end.
    package func sessionFault(_ failure: TerminationFailure, of handOver: RoutedClient) {
        Counter(
            label: "latchstring_edge_session_faults_total",
            dimensions: [("site", self.site), ("reason", failure.reason)], factory: self.metrics
        ).increment()
        self.reports.write(
            failure.isOurs ? .info : .debug, "session fault",
            [
                "site": "\(handOver.serverName?.rawValue ?? self.site)", "mode": "\(self.mode.rawValue)",
                "client": "\(PeerText(handOver.client.source))",
                "connection": "\(handOver.connection ?? 0)", "reason": "\(failure.reason)", "error": "\(failure)",
            ])
    }

    private func levelOfOurs(now: NIODeadline) -> Logger.Level {
        guard now >= self.nextWarning else { return .info }
        self.nextWarning = now + Self.warningInterval
        return .warning
    }

    /// Whether the operator should look at it, and not only the client.
    private static func isOurs(_ error: any Error) -> Bool {
        switch error {
        case is SiteNotServed: true
        case let failure as TerminationFailure: failure.isOurs
        default: false
        }
    }
}
