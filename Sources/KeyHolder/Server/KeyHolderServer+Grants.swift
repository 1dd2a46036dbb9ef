import KeyProtocol
import Logging
import NIOCore
import Synchronization
import TLSWire

/// Grants that come and go: by an operator's word, and by their times.
extension KeyHolderServer {
    /// Ends an edge's grants at once, and its connections: no reload brings them back, until ``restore(_:)``.
    ///
    /// Whether it has grants or not; nothing is read again.
    public func revoke(_ edge: String) throws {
        self.grants.withLock { _ = $0.revoked.insert(edge) }
        let dropped: Int = try self.putGrantsInForce()
        self.core.audit(.revoke, edge: edge)
        self.logger.warning(
            "an edge was revoked: its grants ended", metadata: ["edge": "\(edge)", "connections": "\(dropped)"])
    }

    /// The configuration's grants for the edge count again.
    ///
    /// - Returns: Whether it was revoked.
    @discardableResult
    public func restore(_ edge: String) throws -> Bool {
        guard self.grants.withLock({ $0.revoked.remove(edge) }) != nil else { return false }
        _ = try self.putGrantsInForce()
        self.core.audit(.restore, edge: edge)
        self.logger.warning("an edge's revocation was taken back", metadata: ["edge": "\(edge)"])
        return true
    }

    /// Once a second: has grants begin and end by their times.
    func reviewGrants() {
        self.review.withLock { _ in self.reviewInTurn() }
    }

    private func reviewInTurn() {
        let now: Int64 = self.core.wallClock()
        let wanted: [GrantConfiguration]? = self.grants.withLock { grants in
            grants.haveTimes ? grants.inForce(at: now) : nil
        }
        let policy: Policy = self.core.policy
        let before: [GrantConfiguration] = policy.configured
        guard let wanted, wanted != before else {
            if policy.showsOthers(at: now / 1000) { self.showOthers() }
            return
        }
        do {
            _ = try self.putGrantsInForce()
        } catch {
            // All of them were in a policy before, so this does not come about; if it does, none of these grants ends.
            return self.logger.critical("grants could not be changed by their times", metadata: ["reason": "\(error)"])
        }
        for grant in before where !wanted.contains(grant) { self.note(.grantEnded, grant) }
        for grant in wanted where !before.contains(grant) { self.note(.grantBegan, grant) }
    }

    /// A certificate of several has begun or ceased to be valid: edges are told.
    private func showOthers() {
        do {
            _ = try self.putGrantsInForce()
            self.logger.notice(
                "a site's certificate began or ceased to be valid, and the site has others: edges are told")
        } catch {
            self.logger.critical("edges could not be told of certificates", metadata: ["reason": "\(error)"])
        }
    }

    private func note(_ event: AuditEvent, _ grant: GrantConfiguration) {
        self.core.audit(event, edge: grant.edge, detail: AuditedChanges.text(grant))
        self.logger.notice(
            "a grant began or ended by its times",
            metadata: [
                "edge": "\(grant.edge)", "operation": "\(event.rawValue)",
                "sites": "\(grant.sites.map(\.description).joined(separator: ", "))",
            ])
    }

    /// Makes a policy of the grants that count now, for the sites that there are.
    ///
    /// - Returns: How many connections were cut off.
    private func putGrantsInForce() throws -> Int {
        try self.change { previous in
            try Policy(
                sites: previous.sites, grants: self.grants.withLock { $0.inForce(at: self.core.wallClock()) },
                lease: previous.lease, grace: previous.grace, previous: previous, now: Clock.monotonic(),
                wallSeconds: self.core.wallClock() / 1000)
        } cuttingOff: { policy in
            self.cutOff(policy, keeping: policy.knows)
        }.count
    }

    /// Every grant of the configuration, in its order.
    public var grantStatus: [GrantStatus] {
        let now: Int64 = self.core.wallClock()
        let grants: ConfiguredGrants = self.grants.withLock { $0 }
        let connections: [String: Int] = self.core.registry.connectionsByEdge
            .merging(self.native.linksByEdge, uniquingKeysWith: +)
        return grants.all.map { grant in
            let usage: EdgeUsage.Entry? = self.core.usage[grant.edge]
            let state: GrantStatus.State =
                grants.revoked.contains(grant.edge) ? .revoked : grant.times.counts(at: now) ? .inForce : .notNow
            return GrantStatus(
                grant: grant, state: state, connections: connections[grant.edge] ?? 0, seen: usage?.seen,
                done: usage?.done ?? [:], refused: usage?.refused ?? [:])
        }
    }
}

/// What the configuration grants, and to whom it does not count.
struct ConfiguredGrants: Sendable {
    var all: [GrantConfiguration]
    var revoked: Set<String>

    var haveTimes: Bool { self.all.contains { $0.times != .always } }

    /// - Parameter time: Milliseconds since 1970 UTC.
    func inForce(at time: Int64) -> [GrantConfiguration] {
        self.all.filter { !self.revoked.contains($0.edge) && $0.times.counts(at: time) }
    }
}
