package import EdgeModel
package import KeyProtocol
package import Logging
import Metrics
package import NIOCore
import NIOPosix
package import PeerLink
package import Stapling
package import TLSWire

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Keeps the leases of the domains that belong to one key holder: hears of them over the links of one event loop, asks each
/// address for each domain's certificate, and tells all event loops what may be served, and when that ends.
///
/// A certificate that has not changed keeps its TLS context, and so the session tickets made with it; their keys are replaced when they
/// have served the tickets' lifetime. A lease that has ended takes the context and the keys along, and no ticket made with them is
/// good for anything again.
package final class LeaseKeeper {
    /// One domain of a site.
    package struct Order {
        package var pattern: ServerNamePattern
        package var mode: TrustMode
        package var configuration: TerminationConfiguration
        /// The site's OCSP responses; nil: none are configured.
        package var staples: StapleFiles?

        package init(
            pattern: ServerNamePattern, mode: TrustMode, configuration: TerminationConfiguration,
            staples: StapleFiles? = nil
        ) {
            self.staples = staples
            self.pattern = pattern
            self.mode = mode
            self.configuration = configuration
        }

        /// Whether the same certificate is shown in the same way.
        package func showsTheSame(as other: Order) -> Bool {
            self.mode == other.mode && self.configuration.ticketLifetime == other.configuration.ticketLifetime
                && self.configuration.applicationProtocols == other.configuration.applicationProtocols
                && self.configuration.groups == other.configuration.groups
        }
    }

    private struct Domain {
        let order: Order
        /// What is asked for.
        let name: ServerName?
        var plan = RefreshPlan()
        var timer: Scheduled<Void>?
        var told = LeaseLedger<CertificateAnswer>.Verdict.pending
        /// What each address has that leases it, as it was told.
        var toldAnswers: [Int: CertificateAnswer] = [:]
        /// What is shown, and the answer that it was made of.
        var shown: (answer: CertificateAnswer, certificate: SiteCertificate?)?
        var ticketTimer: Scheduled<Void>?
        var lastProblem: String?
        let report: LeaseReport
    }

    private let pool: KeyHolderPool
    private let refreshInterval: TimeAmount
    /// What a keeper before this one showed: used again, once, where nothing about it has changed.
    private var inherited: [ServerNamePattern: Shown]
    private let publish: (ServerNamePattern, SiteNews) -> Void
    /// Whether this edge has any lease of the key holder's.
    private let publishStanding: (LeaseEnd?) -> Void
    /// Whether any address is connected.
    private let publishLink: (Bool) -> Void
    private var ledger: LeaseLedger<CertificateAnswer>
    private var domains: [Domain]
    private var toldStanding: LeaseEnd?
    private var toldLink = false
    private var tick: Scheduled<Void>?
    private var ticks = 0
    private var isReadingStaples = false
    /// Seconds since 1970 UTC.
    private let wallClock: () -> Int64
    private var stopped = false

    private static let retryInterval = TimeAmount.seconds(1)
    /// However many handshakes find the certificate outdated, it is fetched once in this time.
    private static let urgentInterval = TimeAmount.milliseconds(250)
    /// How often is looked whether a lease has run out.
    private static let tickInterval = TimeAmount.milliseconds(500)
    /// After how many ticks is looked whether OCSP responses have changed, or had their time.
    private static let ticksPerStaple = 10

    package init(
        pool: KeyHolderPool, orders: [Order], refreshInterval: TimeAmount, shown: [ServerNamePattern: Shown] = [:],
        standing: LeaseReport.Standing, logger: Logger, wallClock: @escaping () -> Int64 = LeaseKeeper.wallTime,
        publish: @escaping (ServerNamePattern, SiteNews) -> Void, publishStanding: @escaping (LeaseEnd?) -> Void,
        publishLink: @escaping (Bool) -> Void = { _ in }
    ) {
        self.pool = pool
        self.refreshInterval = refreshInterval
        self.inherited = shown
        self.wallClock = wallClock
        self.publish = publish
        self.publishStanding = publishStanding
        self.publishLink = publishLink
        self.ledger = LeaseLedger(addresses: pool.configuration.endCount, domains: orders.count)
        self.domains = orders.map {
            Domain(
                order: $0, name: Self.representative(of: $0.pattern),
                report: LeaseReport(
                    $0.pattern, keyHolder: pool.configuration.expected.name, standing: standing, logger: logger))
        }
    }

    /// What clients are shown, with its ticket keys.
    package struct Shown {
        fileprivate let order: Order
        fileprivate let answer: CertificateAnswer
        fileprivate let certificate: SiteCertificate
    }

    package var shown: [ServerNamePattern: Shown] {
        var result: [ServerNamePattern: Shown] = [:]
        for domain in self.domains {
            guard let (answer, certificate) = domain.shown, let certificate else { continue }
            result[domain.order.pattern] = Shown(order: domain.order, answer: answer, certificate: certificate)
        }
        return result
    }

    package func start() {
        self.pool.onLease { [weak self] address, news in self?.heard(news, from: address) }
        self.scheduleTick()
    }

    private func scheduleTick() {
        self.tick = self.pool.eventLoop.assumeIsolated().scheduleTask(in: Self.tickInterval) { [weak self] in
            guard let self, !self.stopped else { return }
            self.expire()
            self.ticks += 1
            if self.ticks.isMultiple(of: Self.ticksPerStaple) { self.readStaples() }
            self.scheduleTick()
        }
    }

    package func stop() {
        self.stopped = true
        self.tick?.cancel()
        self.tick = nil
        self.inherited.removeAll()
        for index in self.domains.indices {
            self.domains[index].timer?.cancel()
            self.domains[index].timer = nil
            self.dropShown(index)
        }
    }

    /// Another generation takes over: domains that it does not have are served no more.
    package func withdraw() { for domain in self.domains { domain.report.withdraw() } }

    /// What holds when the generation becomes the current one.
    package func tellStanding() { for domain in self.domains { domain.report.tellStanding() } }

    /// A name to ask for. For a wildcard any one-label name stands for all of them: the key holder's own wildcard matches it.
    package static func representative(of pattern: ServerNamePattern) -> ServerName? {
        guard pattern.isWildcard else { return try? ServerName(pattern.description) }
        return try? ServerName("latchstring-wildcard" + pattern.description.dropFirst())
    }

    private static func time(after delay: TimeAmount = .zero) -> Int64 {
        Int64((NIODeadline.now() + delay).uptimeNanoseconds)
    }

    // MARK: Leases

    package func heard(_ news: LeaseNews, from address: Int) {
        guard !self.stopped else { return }
        switch news {
        case .renewed(let lease, let changed):
            self.ledger.renewed(address, for: lease.nanoseconds, now: Self.time())
            if changed { for index in self.domains.indices { self.fetch(index, by: Self.time()) } }
        case .ended(let failure): self.ledger.ended(address, LeaseEnd(failure))
        case .disconnected: self.ledger.disconnected(address)
        }
        self.tell()
    }

    private func expire() {
        guard let lease = self.ledger.shortestLease else { return }
        let end = LeaseEnd(
            .expired,
            "the lease has run out: the key holder \(self.pool.configuration.expected.name) has not answered for \(lease / 1_000_000_000) s"
        )
        if self.ledger.expire(now: Self.time(), end) { self.tell() }
    }

    /// Passes on what has changed.
    private func tell() {
        for index in self.domains.indices { self.tell(index) }
        let isConnected = !self.ledger.connected.isEmpty
        if isConnected != self.toldLink {
            self.toldLink = isConnected
            self.publishLink(isConnected)
        }
        let standing = self.ledger.end
        guard standing != self.toldStanding else { return }
        self.toldStanding = standing
        self.publishStanding(standing)
    }

    package func tell(_ index: Int) {
        let verdict = self.ledger.verdict(index, showing: self.domains[index].shown?.answer)
        let told = self.domains[index].told
        if case .ended = verdict, !self.ledger.isUndecided(index) {
            self.inherited[self.domains[index].order.pattern] = nil
        }
        let answers = self.ledger.values(of: index)
        guard verdict != told || answers != self.domains[index].toldAnswers else { return }
        self.domains[index].told = verdict
        self.domains[index].toldAnswers = answers
        let pattern = self.domains[index].order.pattern
        switch verdict {
        case .pending: self.publish(pattern, .pending(problem: self.domains[index].lastProblem))
        case .ended(let end):
            self.dropShown(index)
            self.domains[index].report.ended(end)
            self.publish(pattern, .ended(end))
        case .served(let answer, let addresses):
            do {
                let certificate = try self.certificate(answer, index)
                self.publish(pattern, .served(self.served(certificate, answer, answers)))
            } catch {
                // Of no use to this edge, whichever address it is from.
                for address in addresses {
                    self.ledger.refused(index, by: address, LeaseEnd(.refused, "\(error)"))
                }
                self.domains[index].told = told
                self.tell(index)
            }
        }
    }

    private func served(
        _ certificate: SiteCertificate?, _ answer: CertificateAnswer, _ answers: [Int: CertificateAnswer]
    ) -> ServedDomain {
        let all = Set(0..<self.pool.configuration.endCount)
        var holders: [[UInt8]: Set<Int>] = [:]
        for chain in answer.chains {
            holders[chain.ski] = Set(answers.filter { $0.value.chains.contains { $0.ski == chain.ski } }.keys)
        }
        return ServedDomain(
            certificate: certificate, excluded: all.subtracting(answers.keys), holders: holders, rate: Int(answer.rate),
            notAfter: answer.chains.map(\.notAfter).min(),
            stapleProblems: certificate?.staples.compactMap(\.reason) ?? [])
    }

    /// What clients are shown; nil in `handoff` mode. Made once for each answer.
    private func certificate(_ answer: CertificateAnswer, _ index: Int) throws -> SiteCertificate? {
        if let shown = self.domains[index].shown, shown.answer == answer { return shown.certificate }
        let certificate = try self.newCertificate(answer, index)
        self.domains[index].shown = (answer, certificate)
        self.replaceTicketKeys(index)
        self.domains[index].lastProblem = nil
        self.domains[index].report.served(answer)
        return certificate
    }

    private func newCertificate(_ answer: CertificateAnswer, _ index: Int) throws -> SiteCertificate? {
        let order = self.domains[index].order
        guard order.mode == .keyless else { return nil }
        let staples: [StapleFinding] = self.staples(order, answer)
        self.domains[index].report.stapled(staples)
        var tickets: TicketKeys?
        if let inherited = self.inherited.removeValue(forKey: order.pattern), inherited.answer == answer,
            inherited.order.showsTheSame(as: order)
        {
            if inherited.certificate.staples == staples { return inherited.certificate }
            tickets = inherited.certificate.tickets
        }
        return try SiteCertificate(
            answer, domain: order.pattern, configuration: order.configuration, staples: staples, keeping: tickets,
            now: Self.time())
    }

    // MARK: OCSP responses

    package static func wallTime() -> Int64 { secondsSince1970() }

    private func staples(_ order: Order, _ answer: CertificateAnswer) -> [StapleFinding] {
        guard let files = order.staples else { return [] }
        let now: Int64 = self.wallClock()
        return answer.chains.map { files.find(for: $0.certificates.first ?? [], now: now) }
    }

    /// Files block.
    private func readStaples() {
        let files: [StapleFiles] = self.domains.compactMap(\.order.staples)
        guard !files.isEmpty, !self.isReadingStaples else { return }
        self.isReadingStaples = true
        NIOThreadPool.singleton.runIfActive(eventLoop: self.pool.eventLoop) { for file in files { file.read() } }
            .assumeIsolated().whenComplete { [weak self] _ in
                guard let self, !self.stopped else { return }
                self.isReadingStaples = false
                self.restaple()
            }
    }

    /// Shows what there is by now. Ticket keys stay.
    func restaple() {
        for index in self.domains.indices {
            let order: Order = self.domains[index].order
            guard let (answer, shown) = self.domains[index].shown, let shown else { continue }
            let staples: [StapleFinding] = self.staples(order, answer)
            guard staples != shown.staples,
                let certificate = try? SiteCertificate(
                    answer, domain: order.pattern, configuration: order.configuration, staples: staples,
                    keeping: shown.tickets, now: Self.time())
            else { continue }
            self.domains[index].shown = (answer, certificate)
            self.domains[index].report.stapled(staples)
            guard case .served(let answer, _) = self.domains[index].told else { continue }
            self.publish(
                order.pattern, .served(self.served(certificate, answer, self.domains[index].toldAnswers)))
        }
    }

    // MARK: Ticket keys

    /// Replaces the keys that have served their time, and comes back when those there are then have. That needs no key holder, so it
    /// holds while there is none to reach, too.
    private func replaceTicketKeys(_ index: Int) {
        self.domains[index].ticketTimer?.cancel()
        self.domains[index].ticketTimer = nil
        guard !self.stopped, let tickets = self.domains[index].shown?.certificate?.tickets else { return }
        let due = NIODeadline.uptimeNanoseconds(UInt64(max(0, tickets.replaceIfOver(at: Self.time()))))
        self.domains[index].ticketTimer = self.pool.eventLoop.assumeIsolated().scheduleTask(deadline: due) {
            [weak self] in self?.replaceTicketKeys(index)
        }
    }

    private func dropShown(_ index: Int) {
        self.domains[index].shown = nil
        self.domains[index].ticketTimer?.cancel()
        self.domains[index].ticketTimer = nil
    }

    // MARK: Certificates

    /// Fetches the certificate again shortly: the key holder refused one that was shown.
    package func refreshSoon(_ pattern: ServerNamePattern) {
        guard let index = self.domains.firstIndex(where: { $0.order.pattern == pattern }) else { return }
        self.fetch(index, by: Self.time(after: Self.urgentInterval))
    }

    private func fetch(_ index: Int, by time: Int64) {
        guard !self.stopped, self.domains[index].plan.want(by: time) else { return }
        self.setTimer(index)
    }

    private func setTimer(_ index: Int) {
        self.domains[index].timer?.cancel()
        guard self.domains[index].plan.due != .max else { return }
        let due = NIODeadline.uptimeNanoseconds(UInt64(max(0, self.domains[index].plan.due)))
        self.domains[index].timer = self.pool.eventLoop.assumeIsolated().scheduleTask(deadline: due) {
            self.fetch(index)
        }
    }

    /// Asks every address that can be asked.
    private func fetch(_ index: Int) {
        guard !self.stopped, let name = self.domains[index].name, self.domains[index].plan.fired() else { return }
        let addresses = self.ledger.connected
        // A new connection brings a lease, and that a fetch.
        guard !addresses.isEmpty else { return self.fetched(index, next: .max) }
        var left = addresses.count
        var next = Int64.max
        for address in addresses {
            self.pool.certificate(for: name, at: address).assumeIsolated().whenComplete { result in
                guard !self.stopped else { return }
                let interval = self.take(result, index, from: address)
                next = min(next, Self.time(after: interval))
                left -= 1
                self.tell(index)
                if left == 0 { self.fetched(index, next: next) }
            }
        }
    }

    private func fetched(_ index: Int, next: Int64) {
        self.domains[index].plan.fetched(next: next)
        self.setTimer(index)
    }

    /// Answers how long until the next fetch.
    package func take(_ result: Result<CertificateAnswer, any Error>, _ index: Int, from address: Int) -> TimeAmount {
        let lease = self.ledger.shortestLease ?? self.refreshInterval.nanoseconds
        let interval = min(self.refreshInterval, .nanoseconds(lease / 2))
        let mode = self.domains[index].order.mode
        switch result {
        case .success(let answer) where answer.modes.contains(mode):
            self.ledger.granted(index, by: address, answer, now: Self.time())
            return interval
        case .success:
            self.ledger.refused(
                index, by: address, LeaseEnd(.refused, "\(SiteCertificateError.modeNotGranted(mode))"))
            return interval
        case .failure(let error):
            // Only a word from the key holder takes a certificate away; silence does so when the lease runs out.
            if let end = (error as? LinkFailure).flatMap(LeaseEnd.init(refusing:)) {
                self.ledger.refused(index, by: address, end)
                return interval
            }
            let problem = "\(error)"
            let isNews = self.domains[index].lastProblem != problem
            self.domains[index].report.notFetched(problem, isNews: isNews)
            self.domains[index].lastProblem = problem
            if isNews, self.domains[index].told == .pending {
                self.publish(self.domains[index].order.pattern, .pending(problem: problem))
            }
            return Self.retryInterval
        }
    }
}

/// Outside of the class, where the name means another function.
private func secondsSince1970() -> Int64 { Int64(time(nil)) }
