import ACME
public import Logging
public import NIOCore
import NIOPosix
public import ServiceLifecycle
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Gets and renews the certificates of sites from ACME directories, one after the other, for as long as it runs.
///
/// Nothing is lost wherever it is stopped: keys, the account, the order under way and the plan are on disk before they count.
public final class CertificateManager: Service {
    private let state: StateFolder
    private let host: any CertificateHost
    private let group: any EventLoopGroup
    private let logger: Logger
    private let userAgent: String
    private let sites: Mutex<[ManagedSite]>
    /// When the first edge came, in milliseconds since 1970; nil: there is none.
    private let edgeSince = Mutex<Int64?>(nil)
    private let hasSaidThatItWaits = Mutex(false)
    /// Until when those are left alone whose state could not be read or written: what failed was not kept on disk, so
    /// without this the directory would be asked again and again.
    private let resting = Mutex<[ManagedSite: Int64]>([:])
    private let work = Mutex(Work())

    private struct Work {
        /// Another process does it.
        var isPaused: Bool = false
        var turn: Task<Int64, Never>?
    }

    /// Milliseconds.
    static let rest: Int64 = 10 * 60_000

    /// Between an edge's connecting and a check that needs it: the edge has to ask for its sites first. Milliseconds.
    static let settling: Int64 = 3000
    /// The longest sleep: the wall clock may be set meanwhile, and sites may change. Milliseconds.
    static let longestSleep: Int64 = 30_000

    public init(
        sites: [ManagedSite], state: StateFolder, host: any CertificateHost, group: any EventLoopGroup,
        userAgent: String, logger: Logger
    ) {
        self.sites = Mutex(sites)
        self.state = state
        self.host = host
        self.group = group
        self.userAgent = userAgent
        self.logger = logger
    }

    /// After a reload.
    public func update(_ sites: [ManagedSite]) {
        self.sites.withLock { $0 = sites }
        self.resting.withLock { $0 = [:] }
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let pause = await self.turnUnlessPaused()
                try? await Task.sleep(for: .milliseconds(pause))
            }
        }
    }

    /// Orders nothing until ``resume()``. What is under way ends here, and goes on from what is on disk. Returns when nothing is under
    /// way.
    public func pause() async {
        let turn: Task<Int64, Never>? = self.work.withLock { work in
            work.isPaused = true
            return work.turn
        }
        turn?.cancel()
        _ = await turn?.value
    }

    public func resume() { self.work.withLock { $0.isPaused = false } }

    private func turnUnlessPaused() async -> Int64 {
        let turn: Task<Int64, Never>? = self.work.withLock { work in
            guard !work.isPaused else { return nil }
            work.turn = Task { await self.turn() }
            return work.turn
        }
        guard let turn else { return 200 }
        return await withTaskCancellationHandler {
            await turn.value
        } onCancel: {
            turn.cancel()
        }
    }

    /// Does what is due for each site.
    ///
    /// - Returns: milliseconds until the next look.
    private func turn() async -> Int64 {
        self.noteEdges()
        var next = Self.now() + Self.longestSleep
        for site in self.sites.withLock({ $0 }) where !Task.isCancelled {
            guard self.resting.withLock({ ($0[site] ?? 0) <= Self.now() }) else { continue }
            do {
                next = min(next, try await self.tend(site))
            } catch {
                // The state on disk; not the directory.
                self.resting.withLock { $0[site] = Self.now() + Self.rest }
                self.logger.error(
                    "the ACME state cannot be used",
                    metadata: [
                        "site": "\(site.name)", "key": "\(site.key)", "reason": "\(error)", "next-look-in": "10 min",
                    ])
            }
        }
        return min(max(next - Self.now(), 200), Self.longestSleep)
    }

    private func noteEdges() {
        let hasEdge = self.host.hasEdge
        self.edgeSince.withLock { since in since = hasEdge ? since ?? Self.now() : nil }
    }

    /// - Returns: when to look at the site again.
    private func tend(_ site: ManagedSite) async throws -> Int64 {
        let chain = try self.state.chain(site)
        var plan = try self.state.plan(site)
        if let chain, plan.wantsInformation(of: chain, now: Self.now()) {
            await self.askForInformation(site, chain, &plan)
            try self.state.write(plan, of: site)
        }
        let due = plan.due(chain, names: site.domains, percent: site.renewAfter)
        self.host.measured(site, nextOrder: max(due, Self.now()))
        // An order that came to this certificate, in a process that ended before it could say so.
        if due > Self.now(), plan.failures == 0, try self.state.orderURL(site) != nil {
            try self.state.write(orderURL: nil, of: site)
        }
        guard due <= Self.now() else { return plan.next(chain, names: site.domains, percent: site.renewAfter) }
        if site.challenge != .dns01, let until = self.waitForEdge(site) { return until }
        try await self.order(site, chain, &plan)
        return plan.next(try self.state.chain(site), names: site.domains, percent: site.renewAfter)
    }

    /// Until when there is no edge that a check could come through; nil: there is one.
    private func waitForEdge(_ site: ManagedSite) -> Int64? {
        if let since = self.edgeSince.withLock({ $0 }) {
            let ready = since + Self.settling
            return ready <= Self.now() ? nil : ready
        }
        if !self.hasSaidThatItWaits.withLock({ said in
            defer { said = true }; return said
        }) {
            self.logger.notice(
                "no edge is connected: certificates are ordered when one is, since the authority's check comes through it",
                metadata: ["site": "\(site.name)"])
        }
        return Self.now() + 500
    }

    // MARK: Renewal information

    private func askForInformation(_ site: ManagedSite, _ chain: IssuedChain, _ plan: inout RenewalPlan) async {
        do {
            let client = try self.client(site)
            let directory = try await client.send(ACMERequest(method: .get, url: site.directory))
            guard let request = try RenewalInformation.request(directory: directory, chain: chain) else {
                return plan.gotNoInformation(for: chain, now: Self.now())
            }
            let information = try RenewalInformation(try await client.send(request), now: Self.now())
            plan.suggested(information, for: chain, share: .random(in: 0...1))
            self.logger.debug(
                "renewal information",
                metadata: [
                    "site": "\(site.name)", "start": "\(information.start)", "end": "\(information.end)",
                    "explanation": "\(information.explanation ?? "none")",
                ])
        } catch {
            // It is a suggestion: without it the share of the life counts.
            self.logger.info(
                "no renewal information: \(error)", metadata: ["site": "\(site.name)"])
            plan.gotNoInformation(for: chain, now: Self.now())
        }
    }

    private func client(_ site: ManagedSite) throws -> DirectoryClient {
        try DirectoryClient(group: self.group, roots: site.roots, userAgent: self.userAgent)
    }

    // MARK: An order

    private func order(_ site: ManagedSite, _ old: IssuedChain?, _ plan: inout RenewalPlan) async throws {
        self.logger.notice(
            "ordering a certificate",
            metadata: ["site": "\(site.name)", "key": "\(site.key)", "directory": "\(site.directory)"])
        let attempt = Attempt(site: site, state: self.state, host: self.host, logger: self.logger)
        do {
            let chain = try await attempt.run(replacing: old, client: try self.client(site))
            plan.succeeded()
            try self.state.write(plan, of: site)
            let due = plan.due(chain, names: site.domains, percent: site.renewAfter)
            self.host.measured(site, nextOrder: due)
            self.logger.notice(
                "a new certificate is in use",
                metadata: [
                    "site": "\(site.name)", "key": "\(site.key)",
                    "days": "\((chain.notAfter - Self.now()) / 86_400_000)",
                ])
        } catch {
            guard !Task.isCancelled else { return }
            let failure = error as? ACMEFailure ?? ACMEFailure(.local("\(error)"))
            plan.failed(failure, now: Self.now(), share: .random(in: 0...1))
            try self.state.write(plan, of: site)
            let next = plan.due(nil, names: site.domains, percent: site.renewAfter)
            let left = old.flatMap { $0.isPlaceholder ? nil : ($0.notAfter - Self.now()) / 86_400_000 }
            self.logger.error(
                "no certificate: \(failure.message)",
                metadata: [
                    "site": "\(site.name)", "key": "\(site.key)", "remedy": "\(failure.remedy)",
                    "failures": "\(plan.failures)",
                    "next-attempt-in": "\((next - Self.now()) / 1000) s",
                    "present-certificate": "\(left.map { "\($0) days left" } ?? "none")",
                ])
            self.host.audit(.failed, of: site, detail: failure.message)
        }
    }

    /// Milliseconds since 1970.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
