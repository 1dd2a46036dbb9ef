import Admission
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What all connections of a key holder share.
final class KeyHolderCore: Sendable {
    let limits: KeyHolderLimits
    let audit: AuditLog
    let slow: SlowOperations
    let clientHandshakes: HandshakeCensus
    let challenges = ChallengeTable()
    /// What takes longer than a packet on each event loop.
    let loops: LoopWorks
    let accounts: EdgeAccounts
    let usage = EdgeUsage()
    let metrics: KeyHolderMetrics
    let registry: ConnectionRegistry
    let logger: Logger
    /// For lines that clients can cause.
    let reports: ReportLog
    /// Milliseconds since 1970 UTC, for the validity of identities and certificates.
    let wallClock: @Sendable () -> Int64
    /// Rises when a reload withdraws trust from an authority: identities that were verified before count no more.
    let trustGeneration = Atomic<Int>(0)
    private let current: Mutex<Policy>

    init(
        limits: KeyHolderLimits, policy: Policy, audit: AuditLog, loops: LoopWorks, logger: Logger,
        wallClock: @escaping @Sendable () -> Int64
    ) {
        self.limits = limits
        self.audit = audit
        self.slow = SlowOperations(
            perEdge: limits.inFlightPerEdge, limit: limits.auditQueue / 2,
            threads: limits.signingThreads ?? System.coreCount)
        self.loops = loops
        self.accounts = EdgeAccounts(limits)
        self.wallClock = wallClock
        self.metrics = KeyHolderMetrics()
        self.clientHandshakes = HandshakeCensus(
            perEdge: limits.clientHandshakesPerEdge, limit: limits.auditQueue / 4)
        self.registry = ConnectionRegistry(limits: limits)
        self.logger = logger
        self.reports = ReportLog(logger, clock: nil)
        self.current = Mutex(policy)
        self.metrics.certificates(of: policy.sites, at: wallClock() / 1000)
    }

    var policy: Policy {
        get { self.current.withLock { $0 } }
        set {
            self.current.withLock { $0 = newValue }
            self.metrics.certificates(of: newValue.sites, at: self.wallClock() / 1000)
        }
    }

    /// Writes the audit line that was reserved, and counts.
    func conclude(_ line: AuditDraft, _ outcome: AuditOutcome) {
        let now: UInt64 = Clock.monotonic()
        let nanoseconds = Int64(now - line.arrival)
        self.metrics.operation(line.operation, outcome, nanoseconds: nanoseconds)
        let record: AuditRecord = line.record(
            time: Clock.wallMilliseconds(), outcome: outcome, microseconds: nanoseconds / 1000)
        self.usage.concluded(line.edge, line.operation, isDone: outcome == .ok, time: record.time)
        if outcome == .ok || line.usedKey {
            self.audit.record(record)
        } else {
            self.audit.refused(record, now: now)
        }
    }

    /// An audit line about what an operator, the time or an authority brought about: nothing that peers have a hand in. It is written,
    /// or waits for the log to be open again.
    func audit(
        _ event: AuditEvent, outcome: AuditOutcome = .ok, edge: String? = nil, site: String? = nil,
        detail: String? = nil
    ) {
        self.audit.record(
            own: AuditRecord(
                time: Clock.wallMilliseconds(), event: event, outcome: outcome, edge: edge, site: site,
                detail: detail))
        self.audit.flush()
    }

    /// Audit lines about a change of sites and grants.
    func audit(_ changes: AuditedChanges) {
        for change in changes.changes.prefix(AuditedChanges.most) {
            self.audit(change.event, edge: change.edge, site: change.site, detail: change.detail)
        }
        let rest: Int = changes.changes.count - AuditedChanges.most
        if rest > 0 { self.audit(.reload, detail: "\(rest) more sites and grants have changed") }
    }

    /// An audit line about a connection, or about anything else that can happen as often as a peer likes. Repeats are counted, as
    /// ``RefusalDigest`` says, so that what reaches the port cannot fill the disk; the metric counts all refused ones.
    ///
    /// - Parameter start: From where its time counts; nil: it takes none.
    /// - Returns: Whether it has a line of its own, so that the caller may log it as well.
    @discardableResult
    func auditRepeated(
        _ event: AuditEvent = .connection, edge: String?, address: String? = nil, outcome: AuditOutcome = .ok,
        detail: String? = nil, since start: UInt64? = nil
    ) -> Bool {
        if outcome == .refused { self.metrics.connectionRefused() }
        guard self.audit.reserve() else { return false }
        let now: UInt64 = Clock.monotonic()
        let isOwn: Bool = self.audit.refused(
            AuditRecord(
                time: Clock.wallMilliseconds(), edge: edge, address: address, operation: event.rawValue,
                outcome: outcome, duration: start.map { Int64((now - $0) / 1000) } ?? 0, detail: detail), now: now)
        self.audit.flush()
        return isOwn
    }
}

/// The two clocks. Everything that decides takes times as arguments; only the edges of the module read these.
package enum Clock {
    /// Nanoseconds since some fixed moment.
    package static func monotonic() -> UInt64 {
        NIODeadline.now().uptimeNanoseconds
    }

    /// Nanoseconds of CPU time that this thread has had.
    static func threadTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Milliseconds since 1970 UTC.
    static func wallMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
