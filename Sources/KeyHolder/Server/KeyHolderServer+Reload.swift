import KeyProtocol
import Logging
import NIOCore
import PeerLink
import Synchronization

/// Another configuration, or files that have changed, in the place of what is served.
extension KeyHolderServer {
    /// Puts the configuration's sites, grants and credentials in the place of the present ones, all at once.
    ///
    /// Edges that have no grant any more are told so and cut off at once, connections included; edges whose grants have changed
    /// are told that as well. Requests under way are judged again by
    /// the new grants before their results leave. Addresses, limits and the audit log's place stay as they were until a
    /// restart. A new identity of the key holder applies to new connections. If an authority is not trusted any more, all
    /// connections are cut off: edges whose identities still hold come back at once.
    ///
    /// A key that is replaced stays good for `grace` for clients that were shown its certificate.
    ///
    /// - Parameter revokingReplaced: No key that is replaced now, or was before, is used again.
    /// - Throws: ``SiteLoadError`` or ``KeyHolderError``; everything stays as it was then.
    public func reload(_ configuration: KeyHolderConfiguration, revokingReplaced: Bool = false) throws {
        guard !self.isHandingOver.withLock({ $0 }) else { throw KeyHolderError.handingOver }
        try Self.checkCredentials(of: configuration)
        try self.loads.withLock { _ in
            // It may have begun while another reload was under way.
            guard !self.isHandingOver.withLock({ $0 }) else { throw KeyHolderError.handingOver }
            try self.reloadInTurn(configuration, revokingReplaced)
        }
    }

    private func reloadInTurn(_ configuration: KeyHolderConfiguration, _ revokingReplaced: Bool) throws {
        let sites: [Site] = try Self.sites(of: configuration, previous: self.core.policy)
        var keepsTrust = true
        var changes = AuditedChanges()
        let dropped: [any Channel] = try self.change { previous in
            let grants = ConfiguredGrants(
                all: configuration.grants, revoked: self.grants.withLock { $0.revoked })
            let policy = try Self.policy(
                configuration, sites, grants, at: self.core.wallClock(), previous: previous,
                revokingReplaced: revokingReplaced, self.logger)
            self.grants.withLock { grants in
                changes.add(grants: configuration.grants, before: grants.all)
                grants.all = configuration.grants
            }
            keepsTrust = self.trust.value.withLock { trust in
                let keeps: Bool = configuration.credentials.trustsAll(of: trust.credentials)
                if !keeps { trust.generation += 1 }
                trust.credentials = configuration.credentials
                self.core.trustGeneration.store(trust.generation, ordering: .sequentiallyConsistent)
                return keeps
            }
            return policy
        } cuttingOff: { policy in
            self.cutOff(policy) { keepsTrust && policy.knows(edge: $0) }
        }
        self.core.metrics.identity(notAfter: configuration.credentials.notAfter)
        self.dialler.update(configuration.dial)
        self.core.audit(
            .reload,
            detail:
                "sites \(self.core.policy.sites.count), grants \(configuration.grants.count), connections cut off \(dropped.count)"
                + (revokingReplaced ? ", keys that were replaced are revoked" : ""))
        self.core.audit(changes)
        self.logger.notice(
            "reloaded",
            metadata: ["sites": "\(self.core.policy.sites.count)", "connections-cut-off": "\(dropped.count)"])
    }

    /// Cuts off the connections of all edges but these.
    func cutOff(_ policy: Policy, keeping keeps: (String) -> Bool) -> [any Channel] {
        self.core.accounts.keep(where: policy.knows)
        let dropped: [any Channel] = self.core.registry.channels(ofEdgesNot: keeps)
        for channel in dropped { channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.cutOff) }
        return dropped
    }

    /// Puts a policy in the place of the present one, and tells the edges that it concerns.
    @discardableResult
    func change(
        _ make: (Policy) throws -> Policy, cuttingOff: (Policy) -> [any Channel] = { _ in [] }
    ) throws -> [any Channel] {
        try self.changes.withLock { _ in
            let previous: Policy = self.core.policy
            let policy: Policy = try make(previous)
            self.core.policy = policy
            var changes = AuditedChanges()
            changes.add(sites: policy.sites, before: previous.sites)
            self.core.audit(changes)
            let dropped: [any Channel] = cuttingOff(policy)
            // Where grants have changed, or what they are for, an edge that waits for news of its lease gets them.
            let concerned: [any Channel] = self.core.registry.channels {
                policy.generation(of: $0) == previous.generation(of: $0)
            }
            for channel in concerned {
                channel.pipeline.fireUserInboundEventTriggered(ConnectionCommand.reconsider)
            }
            self.native.reconsider()
            self.dialler.reconsider()
            return dropped
        }
    }

    /// Takes up changed files with ticket keys. Blocks, as files do.
    func rereadTicketKeys() {
        for site in self.core.policy.sites {
            switch site.handoff.tickets.news() {
            case .none: continue
            case .replaced: self.logger.notice("ticket keys have changed", metadata: ["site": "\(site.name)"])
            case .problem(let error):
                self.logger.error(
                    "ticket keys stay as they were: the file cannot be used",
                    metadata: ["site": "\(site.name)", "error": "\(error)"])
            }
        }
    }

    /// Takes up changed files with OCSP responses, and leaves out those whose time is over. Blocks, as files do.
    func rereadStaples() {
        for site in self.core.policy.sites {
            guard case .changed(let problems) = site.handoff.restaple(now: Clock.wallMilliseconds() / 1000)
            else {
                continue
            }
            self.core.metrics.stapled(site.name, problems.isEmpty)
            if let problem = problems.first {
                self.logger.warning(
                    "no OCSP response is shown", metadata: ["site": "\(site.name)", "reason": "\(problem)"])
            } else {
                self.logger.notice("OCSP response shown", metadata: ["site": "\(site.name)"])
            }
        }
    }
}
