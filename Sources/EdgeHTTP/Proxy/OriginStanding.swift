internal import NIOConcurrencyHelpers
internal import Synchronization

/// Whether a site's origin answers: what the last exchange on any event loop came to. An answer costs one look at a number.
final class OriginStanding: Sendable {
    private let isFailing = Atomic(false)
    private let trouble = NIOLockedValueBox<OriginTrouble?>(nil)
    private let clock: @Sendable () -> Int64

    init(clock: @escaping @Sendable () -> Int64 = CacheClock.now) { self.clock = clock }

    func answered() {
        guard self.isFailing.load(ordering: .relaxed) else { return }
        self.isFailing.store(false, ordering: .relaxed)
        self.trouble.withLockedValue { $0 = nil }
    }

    func failed(_ cause: OriginFailure.Cause) {
        // The edge's own limit says nothing about the origin.
        guard cause != .overloaded else { return }
        let now = self.clock()
        self.trouble.withLockedValue { trouble in
            var next = trouble ?? OriginTrouble(cause: cause.rawValue, since: now)
            next.cause = cause.rawValue
            next.failures += 1
            trouble = next
        }
        self.isFailing.store(true, ordering: .relaxed)
    }

    var current: OriginTrouble? { self.trouble.withLockedValue { $0 } }
}

/// An origin that gave no answer when it was asked last.
public struct OriginTrouble: Equatable, Sendable {
    /// As in `latchstring_edge_origin_failures_total{cause}`.
    public var cause: String
    /// Milliseconds since 1970 UTC.
    public var since: Int64
    /// In a row.
    public var failures = 0

    public init(cause: String, since: Int64, failures: Int = 0) {
        self.cause = cause
        self.since = since
        self.failures = failures
    }
}
