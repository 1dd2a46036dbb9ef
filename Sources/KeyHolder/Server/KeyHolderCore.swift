import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

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
    let threads: NIOThreadPool
    let metrics: KeyHolderMetrics
    let registry: ConnectionRegistry
    let logger: Logger
    private let current: Mutex<Policy>
    private let refusedLines: Mutex<TokenBucket>

    init(
        limits: KeyHolderLimits, policy: Policy, audit: AuditLog, threads: NIOThreadPool, logger: Logger
    ) {
        self.limits = limits
        self.audit = audit
        self.threads = threads
        self.metrics = KeyHolderMetrics()
        self.registry = ConnectionRegistry(limits: limits)
        self.logger = logger
        self.current = Mutex(policy)
        self.refusedLines = Mutex(TokenBucket(perSecond: 50, burst: 500, now: Clock.monotonic()))
    }

    var policy: Policy {
        get { self.current.withLock { $0 } }
        set { self.current.withLock { $0 = newValue } }
    }

    /// An audit line about a connection rather than an operation.
    ///
    /// Lines about peers that never proved to be an edge are limited to 50 per second, so that anybody who reaches the port
    /// cannot fill the disk; the metric counts all of them.
    func auditConnection(edge: String?, address: String?, outcome: AuditOutcome, detail: String, since start: UInt64) {
        if outcome == .refused {
            self.metrics.connectionRefused()
            guard self.refusedLines.withLock({ $0.take(now: Clock.monotonic()) }) else { return }
        }
        guard self.audit.reserve() else { return }
        self.audit.record(
            AuditRecord(
                time: Clock.wallMilliseconds(), edge: edge, address: address, operation: "connection",
                outcome: outcome, duration: Int64((Clock.monotonic() - start) / 1000), detail: detail))
        self.audit.flush()
    }
}

/// The two clocks. Everything that decides takes times as arguments; only the edges of the module read these.
enum Clock {
    /// Nanoseconds since some fixed moment.
    static func monotonic() -> UInt64 {
        NIODeadline.now().uptimeNanoseconds
    }

    /// Milliseconds since 1970 UTC.
    static func wallMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
