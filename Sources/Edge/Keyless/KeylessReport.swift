import Logging
import Metrics
import NIOCore
import NIOSSL
import PeerLink

/// Says how keyless handshakes end: one metric each, and a log line where somebody should act.
struct KeylessReport {
    private let completed: Counter
    private let abandoned: Counter
    private let clientFailures: Counter
    private let keyHolderFailures: Counter
    private let logger: Logger
    private let site: String

    init(site: String, logger: Logger) {
        func counter(_ outcome: String) -> Counter {
            Counter(label: "latchstring_edge_handshakes_total", dimensions: [("site", site), ("outcome", outcome)])
        }
        self.completed = counter("completed")
        self.abandoned = counter("abandoned")
        self.clientFailures = counter("client-error")
        self.keyHolderFailures = counter("key-holder-error")
        self.logger = logger
        self.site = site
    }

    func record(_ outcome: KeylessSession.Outcome, peer: SocketAddress?) {
        switch outcome {
        case .completed: self.completed.increment()
        case .abandoned: self.abandoned.increment()
        case .failed(let error): self.failed(error, peer: peer)
        }
    }

    func failed(_ error: any Error, peer: SocketAddress?) {
        let ours = Self.isOurs(error)
        (ours ? self.keyHolderFailures : self.clientFailures).increment()
        self.logger.log(
            level: ours ? .warning : .info, "handshake failed",
            metadata: [
                "site": "\(self.site)", "peer": "\(PeerText(peer))", "cause": "\(error)",
            ])
    }

    /// Whether the operator should look at it, and not only the client.
    private static func isOurs(_ error: any Error) -> Bool {
        switch error {
        case is LinkFailure: true
        case KeylessError.handshakeTimedOut: false
        case is KeylessError: true
        default: false
        }
    }
}
