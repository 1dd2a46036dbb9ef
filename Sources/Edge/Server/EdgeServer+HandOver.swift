import CacheStorage
public import Channels
import EdgeHTTP
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// An edge that is about to leave its sockets to another process. Until ``EdgeServer/handOver(_:taken:)`` it serves as ever.
public struct EdgeHandOver: Sendable {
    let running: EdgeServer.Running
    let passed: [EdgeListeners.Passed]

    /// All sockets that the edge listens at. The descriptors are the caller's to close.
    public var listeners: [PassedListener] {
        self.passed.map { PassedListener(descriptor: $0.descriptor, name: $0.name) }
    }
}

extension EdgeServer {
    /// Begins to hand over. No reload is possible until the end of it: ``handOver(_:taken:)`` or ``keep(_:hasLetGo:)``.
    ///
    /// - Throws: ``EdgeReloadError/notNow``.
    public func beginHandOver() async throws -> EdgeHandOver {
        let running = self.state.withLockedValue { state -> Running? in
            guard case .running(let running) = state else { return nil }
            state = .handingOver
            return running
        }
        guard let running else { throw EdgeReloadError.notNow }
        // The links that there are stay; those that key holders open from now on are for the other process.
        await running.listeners.restKeyHolders(true)
        return EdgeHandOver(running: running, passed: await running.listeners.passed())
    }

    /// Lets go of what another process needs before it can serve, and goes on without: the disk store, the place in the fleet.
    ///
    /// - Returns: the domains that are served now.
    public func letGo(_ handOver: EdgeHandOver) async -> Set<String> {
        // The other process is asked from now on.
        self.cache.suspend(true)
        await handOver.running.holdings.letGo()
        return self.readiness.served
    }

    /// Nothing came of it: everything is as it was.
    ///
    /// - Parameter hasLetGo: whether ``letGo(_:)`` was called.
    public func keep(_ handOver: EdgeHandOver, hasLetGo: Bool) async {
        if hasLetGo {
            do {
                try await handOver.running.holdings.takeBack()
            } catch {
                self.logger.error(
                    "the edge goes on without its disk store and its fleet; restart it",
                    metadata: ["reason": "\(error)"])
            }
            self.cache.suspend(false)
        }
        await handOver.running.listeners.restKeyHolders(false)
        self.state.withLockedValue { $0 = .running(handOver.running) }
    }

    /// Leaves connections in the queues of these sockets, or goes on after all.
    public func rest(_ handOver: EdgeHandOver, taken: Set<Int>, _ isResting: Bool) async {
        await handOver.running.listeners.rest(handOver.passed, taken: taken, isResting)
    }

    /// The other process accepts at these sockets: this one does so no more. It ends with the next graceful shutdown, which follows.
    ///
    /// - Parameter taken: numbers among the hand-over's listeners. What waits at the others is accepted first.
    public func handOver(_ handOver: EdgeHandOver, taken: Set<Int>) async {
        await handOver.running.listeners.close(handOver.passed, taken: taken)
        self.state.withLockedValue { $0 = .running(handOver.running) }
    }

    /// After ``letGo(_:)``: something was purged at the process that took over. As little is served from here, all goes.
    public func forgetStored(_ handOver: EdgeHandOver) {
        handOver.running.shared.store?.purge(.everything, .remove)
    }

    /// Returns when each event loop has had its turn. At once, if the edge is not running.
    public func turn() async {
        let slots = self.state.withLockedValue { state -> [NIOLoopBound<LoopSlot>] in
            if case .running(let running) = state { running.slots } else { [] }
        }
        for slot in slots { try? await slot.eventLoop.submit {}.get() }
    }
}
