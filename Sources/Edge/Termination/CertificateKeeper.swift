import KeyProtocol
import Logging
import Metrics
import NIOCore
import PeerLink
import TLSWire

/// Fetches the certificate of one domain from the key holder, keeps it fresh, and hands it to every event loop.
///
/// Runs on one event loop only; the others get the result. A certificate that has not changed keeps its TLS context, and
/// so the session tickets made with it, for the tickets' lifetime; then the same certificate gets a new one. In `handoff` mode the edge shows no certificate; what is fetched only tells
/// whether the site can be served, and until when.
final class CertificateKeeper {
    /// What the loops are told.
    enum News: Sendable {
        /// In `keyless` mode.
        case certificate(SiteCertificate)
        /// In `handoff` mode: the key holder shakes hands for this domain.
        case granted
        case refused(String)
    }

    private let pattern: ServerNamePattern
    private let mode: TrustMode
    private let configuration: TerminationConfiguration
    private let pool: KeyHolderPool
    private let refreshInterval: TimeAmount
    /// Told what the grant allows, per second.
    private let rated: (Int) -> Void
    private let publish: (News) -> Void
    private var logger: Logger
    private var current: CertificateAnswer?
    private var lastProblem: String?
    private var timer: Scheduled<Void>?
    private var plan = RefreshPlan()
    private var ticketKeys: TicketKeys
    private var ticketTimer: Scheduled<Void>?
    private var stopped = false
    private let expiry: Gauge

    private static let retryInterval = TimeAmount.seconds(1)
    private static let refusedInterval = TimeAmount.seconds(5)
    /// However many handshakes find the certificate outdated, it is fetched once in this time.
    private static let urgentInterval = TimeAmount.milliseconds(250)

    init(
        pattern: ServerNamePattern, mode: TrustMode, configuration: TerminationConfiguration, pool: KeyHolderPool,
        refreshInterval: TimeAmount, logger: Logger, rated: @escaping (Int) -> Void,
        publish: @escaping (News) -> Void
    ) {
        self.pattern = pattern
        self.mode = mode
        self.configuration = configuration
        self.ticketKeys = TicketKeys(lifetime: configuration.ticketLifetime.nanoseconds)
        self.pool = pool
        self.refreshInterval = refreshInterval
        self.rated = rated
        self.publish = publish
        self.logger = logger
        self.logger[metadataKey: "site"] = "\(pattern)"
        self.expiry = Gauge(
            label: "latchstring_edge_certificate_not_after_seconds", dimensions: [("domain", "\(pattern)")])
    }

    func start() {
        // A key holder that comes back may have another certificate.
        self.pool.onReady { [weak self] in self?.refreshSoon() }
        self.fetch()
    }

    func stop() {
        self.stopped = true
        self.timer?.cancel()
        self.ticketTimer?.cancel()
    }

    /// Fetches the certificate again shortly: the key holder refused one that we showed.
    func refreshSoon() {
        guard !self.stopped, self.plan.want(by: Self.time(after: Self.urgentInterval)) else { return }
        self.setTimer()
    }

    /// A name to ask for. For a wildcard any one-label name stands for all of them: the key holder's own wildcard matches it.
    static func representative(of pattern: ServerNamePattern) -> ServerName? {
        guard pattern.isWildcard else { return try? ServerName(pattern.description) }
        return try? ServerName("latchstring-wildcard" + pattern.description.dropFirst())
    }

    private static func time(after delay: TimeAmount) -> Int64 {
        Int64((NIODeadline.now() + delay).uptimeNanoseconds)
    }

    private func setTimer() {
        self.timer?.cancel()
        let due = NIODeadline.uptimeNanoseconds(UInt64(max(0, self.plan.due)))
        self.timer = self.pool.eventLoop.assumeIsolated().scheduleTask(deadline: due) { self.fetch() }
    }

    private func fetch() {
        guard !self.stopped, let name = Self.representative(of: self.pattern), self.plan.fired() else { return }
        self.pool.certificate(for: name).assumeIsolated().whenComplete { result in
            let next: TimeAmount =
                switch result {
                case .success(let answer): self.received(answer)
                case .failure(let error): self.failed(error)
                }
            guard !self.stopped else { return }
            self.plan.fetched(next: Self.time(after: next))
            self.setTimer()
        }
    }

    /// Each of the two answers how long until the next fetch.
    private func received(_ answer: CertificateAnswer) -> TimeAmount {
        self.rated(Int(answer.rate))
        if self.current == answer { return self.refreshInterval }
        let notAfter = answer.chains.map(\.notAfter).min() ?? 0
        do {
            let news = try self.news(answer)
            let level: Logger.Level = self.current == nil ? .info : .notice
            self.logger.log(
                level: level, self.current == nil ? "certificate fetched" : "certificate replaced",
                metadata: [
                    "not_after": "\(notAfter)",
                    "chain_lengths": "\(answer.chains.map { "\($0.certificates.count)" }.joined(separator: ","))",
                ])
            self.current = answer
            self.lastProblem = nil
            self.expiry.record(notAfter)
            self.publish(news)
            self.watchTicketKeys(of: news)
        } catch {
            self.refuse("\(error)")
        }
        return self.refreshInterval
    }

    /// Puts the same certificate with new ticket keys in the place of the present one when those have served their time. That
    /// needs no key holder, so it holds while there is none to reach, too.
    private func watchTicketKeys(of news: News) {
        self.ticketTimer?.cancel()
        guard case .certificate = news, self.resumes, !self.stopped else { return self.ticketKeys.dropped() }
        self.ticketKeys.made(at: Self.time(after: .zero))
        let due = NIODeadline.uptimeNanoseconds(UInt64(max(0, self.ticketKeys.due)))
        self.ticketTimer = self.pool.eventLoop.assumeIsolated().scheduleTask(deadline: due) { self.replaceTicketKeys() }
    }

    private var resumes: Bool { self.configuration.ticketLifetime > .zero }

    private func replaceTicketKeys() {
        guard let answer = self.current, self.ticketKeys.areOver(at: Self.time(after: .zero)) else { return }
        do {
            let news = try self.news(answer)
            self.publish(news)
            self.watchTicketKeys(of: news)
            self.logger.debug("ticket keys replaced")
        } catch {
            // The same was made of the same before.
            self.refuse("\(error)")
        }
    }

    private func news(_ answer: CertificateAnswer) throws -> News {
        guard self.mode == .handoff else {
            return .certificate(
                try SiteCertificate(
                    answer, applicationProtocols: self.configuration.applicationProtocols, resumes: self.resumes))
        }
        guard answer.modes.contains(.handoff) else { throw SiteCertificateError.modeNotGranted(.handoff) }
        return .granted
    }

    private func failed(_ error: any Error) -> TimeAmount {
        // Only a word from the key holder takes a certificate away; silence does not.
        if case .refused(let code) = error as? LinkFailure, code == .keyNotFound || code == .certificateNotFound {
            self.refuse("the key holder has no such site for this edge (error \(code.rawValue), \(code.name))")
            return Self.refusedInterval
        } else {
            self.report("certificate not fetched", "\(error)")
            return Self.retryInterval
        }
    }

    private func refuse(_ why: String) {
        self.current = nil
        self.ticketTimer?.cancel()
        self.ticketKeys.dropped()
        self.report("certificate refused", why)
        self.publish(.refused(why))
    }

    /// The same problem again is no news.
    private func report(_ message: Logger.Message, _ why: String) {
        let level: Logger.Level = self.lastProblem == why ? .debug : .warning
        self.lastProblem = why
        self.logger.log(level: level, message, metadata: ["error": "\(why)"])
    }
}
