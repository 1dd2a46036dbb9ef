import Admission
import KeyProtocol
import NIOCore

/// Leases: what an edge is told of its grants, and that it has none.
extension KeyHolderConnection {
    /// Requests for a lease on one connection: per second, and at once. An edge asks twice when it connects, then at half of
    /// the lease and when its grants change.
    static let leaseRate: (perSecond: Int, burst: Int) = (10, 20)

    /// A request for a lease needs no grant of a site, and leaves no audit line when it is answered: it lends nothing.
    func lease(_ request: LeaseRequest, of edge: String, _ id: UInt32, _ line: AuditDraft) {
        guard self.leaseRequests.take(now: Clock.monotonic()) else {
            self.refuse(id, .rateLimited, .rateLimited, line)
            return self.countRefusal()
        }
        self.core.audit.cancel()
        let policy: Policy = self.core.policy
        guard let generation = policy.generation(of: edge) else { return self.send(.failure(id: id, .noGrant)) }
        self.core.metrics.operation(line.operation, .ok, nanoseconds: 0)
        for id in self.heldLease.asked(id, known: request.generation, current: generation) {
            self.answerLease(id, policy, generation)
        }
        self.leaseTimer?.cancel()
        guard self.heldLease.isHeld, let context = self.context else { return }
        self.leaseTimer = context.eventLoop.assumeIsolated().scheduleTask(
            in: .nanoseconds(policy.lease.nanoseconds / 2)
        ) {
            if let id = self.heldLease.release() { self.renewLease(id) }
        }
    }

    /// Sites and grants were read again, and this edge has some.
    func reconsiderLease() {
        guard let edge = self.edge, let generation = self.core.policy.generation(of: edge),
            let id = self.heldLease.changed(current: generation)
        else { return }
        self.leaseTimer?.cancel()
        self.renewLease(id)
    }

    private func renewLease(_ id: UInt32) {
        guard let edge = self.edge else { return }
        let policy: Policy = self.core.policy
        if let generation = policy.generation(of: edge) {
            self.answerLease(id, policy, generation)
        } else {
            self.send(.failure(id: id, .noGrant))
        }
        self.flushSoon()
    }

    private func answerLease(_ id: UInt32, _ policy: Policy, _ generation: UInt64) {
        let milliseconds: Int64 = policy.lease.nanoseconds / 1_000_000
        let bounds: ClosedRange<UInt32> = LeaseAnswer.bounds
        let answer = LeaseAnswer(
            milliseconds: min(max(UInt32(clamping: milliseconds), bounds.lowerBound), bounds.upperBound),
            generation: generation)
        self.send(.success(id: id, payload: answer.encoded()))
    }
}
