import EdgeHTTP
import EdgeModel
import EdgeRelay
import Logging
import NIOConcurrencyHelpers
import NIOCore
import Telemetry

/// Why an edge goes on with the configuration that it had.
public enum EdgeReloadError: Error, Equatable, Sendable, CustomStringConvertible {
    /// It has not begun, is about to end, or is being told another configuration.
    case notNow
    /// No site stored anything at the start, and one is to do so now.
    case needsStore
    /// Nothing was heard of these domains, which are served now.
    case notLeased([String])

    public var description: String {
        switch self {
        case .notNow: "the edge is starting, reloading or shutting down; try again in a moment"
        case .needsStore: "caching begins for the first time, which takes a restart"
        case .notLeased(let domains):
            "no key holder has answered for \(domains.joined(separator: ", ")), which the edge serves now; try again when one does"
        }
    }
}

extension EdgeServer {
    /// How long key holders have to answer a new configuration.
    private static let leaseTime = Duration.seconds(3)

    /// Serves new clients by another configuration. Connections that are open go on by the one that they began with, until they
    /// end; what is stored stays.
    ///
    /// If this throws, everything stays as it was: ``EdgeReloadError``, or what is wrong with the configuration. `threads`,
    /// `cache`, `fleet` and `limits.connections` are not looked at.
    public func reload(_ configuration: EdgeConfiguration) async throws {
        let running = self.state.withLockedValue { state -> Running? in
            guard case .running(let running) = state else { return nil }
            state = .reloading
            return running
        }
        guard let running else { throw EdgeReloadError.notNow }
        do {
            let changed = try await self.exchange(running, for: configuration)
            self.state.withLockedValue { $0 = .running(changed) }
        } catch {
            self.state.withLockedValue { $0 = .running(running) }
            throw error
        }
    }

    private func exchange(_ running: Running, for configuration: EdgeConfiguration) async throws -> Running {
        guard running.shared.store != nil || !configuration.stores else { throw EdgeReloadError.needsStore }
        let former = running.generation
        let generation = try await EdgeGeneration(
            former.number + 1, configuration, on: running.slots, shared: running.shared, group: running.group)
        let opened: EdgeListeners.Opened
        do {
            opened = try await running.listeners.bind(configuration.listeners)
        } catch {
            generation.end()
            throw error
        }
        do {
            try await generation.start(after: former, readiness: self.readiness)
            await opened.acceptKeyHolders()
            try await self.awaitLeases(of: generation)
        } catch {
            await opened.close()
            generation.end()
            self.readiness.forget(generation.number)
            throw error
        }
        // From here on nothing fails.
        running.shared.update(configuration, connections: self.connectionLimit(configuration))
        self.cache.opened(running.shared.store, for: configuration.sites, generation: generation.number)
        self.readiness.becomesCurrent(generation.number)
        running.shared.relay.setOwnListeners(running.listeners.addresses + opened.addresses)
        generation.takeOver(from: former)
        var changed = running
        changed.generation = generation
        await changed.listeners.apply(configuration.listeners, opening: opened)
        let addresses = changed.listeners.addresses
        running.shared.relay.setOwnListeners(addresses)
        for address in addresses where !running.listeners.addresses.contains(address) {
            self.logger.notice("listening", metadata: ["address": "\(PeerText(address))"])
        }
        self.retire(former, running)
        return changed
    }

    private func retire(_ former: EdgeGeneration, _ running: Running) {
        let tooMany = running.retired.withLockedValue { retired -> EdgeGeneration? in
            retired[former.number] = former
            guard retired.count > Running.maximumRetired, let oldest = retired.keys.min() else { return nil }
            return retired[oldest]
        }
        former.retire()?.whenComplete { [retired = running.retired, cache = self.cache] _ in
            retired.withLockedValue { $0[former.number] = nil }
            cache.forget(generation: former.number)
        }
        guard let tooMany else { return }
        self.logger.notice(
            "the oldest connections are closed, since several reloads came while they were open",
            metadata: ["reloads": "\(Running.maximumRetired)"])
        tooMany.hasten(within: running.generation.configuration.drain)
    }

    /// Returns when all domains were heard of, or time is up and no domain is lost by that.
    func awaitLeases(of generation: EdgeGeneration) async throws {
        let end = ContinuousClock.now + Self.leaseTime
        while !self.readiness.isSettled(generation.number), ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(10))
        }
        let lost = self.readiness.awaited(by: generation.number)
        guard lost.isEmpty else { throw EdgeReloadError.notLeased(lost.sorted()) }
    }
}
