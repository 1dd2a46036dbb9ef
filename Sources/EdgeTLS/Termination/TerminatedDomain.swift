import Channels
import EdgeModel
package import NIOCore
package import PeerLink
package import TLSWire

/// One domain of a site whose TLS ends at this edge, on one event loop: whether it is leased, the handshakes that wait to hear
/// so, and the connections that end with the lease.
package final class TerminatedDomain {
    package enum State {
        /// Not heard of yet: handshakes wait. The problem: why that may be.
        case pending(problem: String?)
        case served(ServedDomain)
        /// Handshakes end at once.
        case ended(LeaseEnd)
    }

    package let pattern: ServerNamePattern
    package let pool: KeyHolderPool
    private let leases: LeasedDomains?
    private let waiterLimit = 4096
    private var state = State.pending(problem: nil)
    private var waiters: [(promise: EventLoopPromise<ServedDomain>, timer: Scheduled<Void>)] = []
    /// Clients whose handshake is done.
    private var connections: [ObjectIdentifier: any Channel] = [:]

    /// For what is under way on open connections when a lease ends.
    package static let closingTime = TimeAmount.seconds(10)

    /// - Parameter leases: told what becomes of the domain's lease, for requests on connections of the site's other domains.
    package init(pattern: ServerNamePattern, pool: KeyHolderPool, leases: LeasedDomains? = nil) {
        self.pattern = pattern
        self.pool = pool
        self.leases = leases
    }

    /// The key holder has said that this edge has no grant: it answers nothing else either. False for what may be granted and is not
    /// served, such as a certificate whose time is over.
    package var isWithoutGrant: Bool {
        guard case .ended(let end) = self.state else { return false }
        return end.reason == .noGrant
    }

    /// What it takes to serve the domain: the usual case, without a future. Nil: it is not leased, or not yet.
    package var current: ServedDomain? {
        if case .served(let served) = self.state { served } else { nil }
    }

    /// The same as soon as there is a lease, at the latest after the key holder's time limit. Fails with ``SiteNotServed``.
    package func served() -> EventLoopFuture<ServedDomain> {
        let loop = self.pool.eventLoop
        switch self.state {
        case .served(let served): return loop.makeSucceededFuture(served)
        case .ended(let end): return loop.makeFailedFuture(SiteNotServed(reason: "\(end)"))
        case .pending: return self.news(within: self.pool.configuration.deadline)
        }
    }

    /// What is served in the place of this: at once, if something is by now, or as soon as it is, at the latest after the key
    /// holder's time limit. Fails with ``SiteNotServed``.
    package func renewal(of former: ServedDomain) -> EventLoopFuture<ServedDomain> {
        switch self.state {
        case .served(let served) where served.isSigned(like: former):
            return self.news(within: self.pool.configuration.deadline)
        case .served, .ended, .pending: return self.served()
        }
    }

    private func news(within time: TimeAmount) -> EventLoopFuture<ServedDomain> {
        let loop = self.pool.eventLoop
        guard self.waiters.count < self.waiterLimit else {
            return loop.makeFailedFuture(SiteNotServed(reason: "too many handshakes wait for its lease"))
        }
        let promise = loop.makePromise(of: ServedDomain.self)
        let timer = loop.assumeIsolated().scheduleTask(in: time) {
            self.waiters.removeAll { $0.promise.futureResult === promise.futureResult }
            promise.fail(SiteNotServed(reason: self.whyPending))
        }
        self.waiters.append((promise, timer))
        return promise.futureResult
    }

    private var whyPending: String {
        guard case .pending(let problem?) = self.state else { return "no key holder has answered yet" }
        return "there is no lease yet: \(problem)"
    }

    package func update(_ news: SiteNews) {
        switch news {
        // Some key holder that leased it does not any more, and another one is being asked.
        case .pending(let problem):
            self.state = .pending(problem: problem)
            self.leases?.update(self.pattern, isLeased: false)
        case .served(let served):
            self.state = .served(served)
            self.leases?.update(self.pattern, isLeased: true)
            for waiter in self.takeWaiters() { waiter.succeed(served) }
        case .ended(let end):
            self.state = .ended(end)
            self.leases?.update(self.pattern, isLeased: false)
            for waiter in self.takeWaiters() { waiter.fail(SiteNotServed(reason: "\(end)")) }
            self.closeConnections()
        }
    }

    /// The generation is over.
    package func end() {
        for waiter in self.takeWaiters() { waiter.fail(SiteNotServed(reason: "the edge is stopping")) }
    }

    private func takeWaiters() -> [EventLoopPromise<ServedDomain>] {
        let waiting = self.waiters
        self.waiters.removeAll()
        for waiter in waiting { waiter.timer.cancel() }
        return waiting.map(\.promise)
    }

    // MARK: Connections

    /// A client has shaken hands. Throws ``SiteNotServed`` if the lease has ended meanwhile, which would make the session one that
    /// no key holder leases.
    package func established(_ channel: any Channel) throws {
        if case .ended = self.state { throw SiteNotServed(reason: "its lease has ended during the handshake") }
        let id = ObjectIdentifier(channel)
        self.connections[id] = channel
        channel.closeFuture.assumeIsolated().whenComplete { _ in self.connections[id] = nil }
    }

    /// Requests under way are answered, for a while; HTTP tells its clients that no more are taken.
    private func closeConnections() {
        let open = self.connections
        guard !open.isEmpty else { return }
        self.connections.removeAll()
        for channel in open.values {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
        self.pool.eventLoop.assumeIsolated().scheduleTask(in: Self.closingTime) {
            for channel in open.values where channel.isActive {
                // A response that breaks off must not look whole: no close_notify.
                if let tls = channel.pipeline.syncOperations.serverTLS {
                    AbruptClose.closeSocket(tls)
                } else {
                    channel.close(promise: nil)
                }
            }
        }
    }
}

/// There is no lease for the site that a client asks for.
package struct SiteNotServed: Error, CustomStringConvertible {
    package var reason: String

    package var description: String { "this site is not served: \(self.reason)" }
}
