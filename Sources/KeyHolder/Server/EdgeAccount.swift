import Admission
import Synchronization

/// What one edge may cost the key holder, on all its connections together.
///
/// Budgets that belonged to a connection would be as many as an edge opens connections.
final class EdgeAccount: Sendable {
    private struct Budgets {
        var packets: TokenBucket
        var pings: TokenBucket
        var refusals: TokenBucket
        /// Log lines about its connections.
        var lines: TokenBucket
    }

    private let budgets: Mutex<Budgets>
    /// Requests that wait for event loops, each of which holds an audit line.
    private let waiting = Atomic<Int>(0)

    /// - Parameter now: Monotonic nanoseconds.
    init(_ limits: KeyHolderLimits, now: UInt64) {
        self.budgets = Mutex(
            Budgets(
                packets: TokenBucket(
                    perSecond: limits.packetsPerEdge, burst: max(1, limits.packetsPerEdge / 10), now: now),
                pings: TokenBucket(perSecond: limits.pingsPerEdge, burst: 2 * limits.pingsPerEdge, now: now),
                refusals: TokenBucket(perSecond: limits.refusals, burst: 2 * limits.refusals, now: now),
                lines: TokenBucket(perSecond: 1, burst: limits.connectionsPerEdge, now: now)))
    }

    /// Whether one more of its connections is worth a line of the log.
    func takeLine(now: UInt64) -> Bool {
        self.budgets.withLock { $0.lines.take(now: now) }
    }

    /// Makes room for a request that waits for an event loop; ``leave()`` gives it back. False: the edge has too many.
    func enter(limit: Int) -> Bool {
        guard self.waiting.add(1, ordering: .relaxed).newValue > limit else { return true }
        self.leave()
        return false
    }

    func leave() {
        self.waiting.subtract(1, ordering: .relaxed)
    }

    // Each returns for how many nanoseconds the connection is not to be read, 0 within the budget.

    func packets(_ count: Int, now: UInt64) -> UInt64 {
        self.budgets.withLock { $0.packets.charge(count, now: now) }
    }

    func ping(now: UInt64) -> UInt64 {
        self.budgets.withLock { $0.pings.charge(1, now: now) }
    }

    func refusal(now: UInt64) -> UInt64 {
        self.budgets.withLock { $0.refusals.charge(1, now: now) }
    }
}

/// The accounts of all edges that have connected. They outlive connections, so that a new connection is no fresh budget; there
/// are no more than edges with grants.
final class EdgeAccounts: Sendable {
    private let limits: KeyHolderLimits
    private let accounts = Mutex<[String: EdgeAccount]>([:])

    init(_ limits: KeyHolderLimits) {
        self.limits = limits
    }

    /// - Parameter edge: Identified, with a grant.
    func account(of edge: String, now: UInt64) -> EdgeAccount {
        self.accounts.withLock { accounts in
            if let account = accounts[edge] { return account }
            let account = EdgeAccount(self.limits, now: now)
            accounts[edge] = account
            return account
        }
    }

    /// Forgets edges that have no grant any more.
    func keep(where isKnown: (String) -> Bool) {
        self.accounts.withLock { $0 = $0.filter { isKnown($0.key) } }
    }
}
