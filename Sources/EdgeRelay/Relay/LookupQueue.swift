import Admission
import EdgeModel
import NIOCore

/// Which names are being looked up, for which clients, and which wait for their turn. Pure.
///
/// Every site has its own share, of waiting clients as well as of look-ups that run; so has every client's network. Within
/// a site networks take turns. Where there is no room for one more that waits, the oldest of the network with the most gives way, but
/// never to a network that has as many. So names whose DNS does not answer delay only clients of the network that asked for
/// them. Clients of exempt networks (nil) have the site's bounds only, have one turn together, and give way to none.
///
/// A name that clients of several networks wait for stands in the queue of each, and is handed out at the first one's turn.
///
/// Our bugs: a name that starts or finishes without having been handed out; ignored.
struct LookupQueue<Waiter> {
    struct Entry {
        enum Step: Equatable {
            /// A look-up has to be started for the name.
            case start
            /// The name is being looked up already, or waits for its turn.
            case wait
            case overloaded
        }

        var step: Step
        /// Those who have given way. They wait no more.
        var displaced: [Waiter] = []
    }

    enum Start: Equatable {
        case lookUp
        /// No client waits for it any more; these names have to be started in its place.
        case abandoned(next: [String])
    }

    private enum Phase {
        case queued
        /// At the turn of this network.
        case handedOut(ClientNetwork?)
    }

    private struct Name {
        let site: String
        var phase = Phase.queued
        var waiters: [UInt64: (client: ClientNetwork?, waiter: Waiter)] = [:]

        func isWanted(by client: ClientNetwork?) -> Bool { self.waiters.values.contains { $0.client == client } }
    }

    /// Of a site.
    private struct Share {
        var waiters = 0
        /// The same by network.
        var counts: [ClientNetwork?: Int] = [:]
        /// Names handed out to the threads.
        var running = 0
        /// Names that wait for their turn, and the networks in turn; each stands there once while it has any.
        var queues: [ClientNetwork?: CircularBuffer<String>] = [:]
        var turn = CircularBuffer<ClientNetwork?>()

        var isUnused: Bool { self.waiters == 0 && self.running == 0 }

        mutating func append(_ host: String, for client: ClientNetwork?) {
            if self.queues[client] == nil { self.turn.append(client) }
            self.queues[client, default: CircularBuffer()].append(host)
        }

        mutating func remove(_ host: String, for client: ClientNetwork?) {
            guard self.queues[client] != nil else { return }
            self.queues[client]?.removeAll { $0 == host }
            if self.queues[client]?.isEmpty == true {
                self.queues[client] = nil
                self.turn.removeAll { $0 == client }
            }
        }
    }

    /// Of a network, over all sites.
    private struct Member {
        /// Oldest first.
        var waiting = CircularBuffer<(id: UInt64, host: String)>()
        var running = 0
    }

    private let limits: NameResolver.Limits
    private var names: [String: Name] = [:]
    private var shares: [String: Share] = [:]
    private var members: [ClientNetwork?: Member] = [:]
    /// All that wait, for whichever site.
    private(set) var waiters = 0

    init(limits: NameResolver.Limits) {
        self.limits = limits
    }

    // MARK: Coming and going

    /// - Parameter id: higher each time.
    mutating func enter(
        _ waiter: Waiter, id: UInt64, host: String, site: String, client: ClientNetwork?
    ) -> Entry {
        let site = self.names[host]?.site ?? site
        var displaced: [Waiter] = []
        guard self.makeRoom(for: client, site: site, &displaced) else {
            return Entry(step: .overloaded, displaced: displaced)
        }
        // Looked up now: the look-up that gave way may have been the last that waited for it.
        var name = self.names[host] ?? Name(site: site)
        let isQueued = if case .queued = name.phase { true } else { false }
        var share = self.shares[site] ?? Share()
        if isQueued, !name.isWanted(by: client) { share.append(host, for: client) }
        name.waiters[id] = (client, waiter)
        share.waiters += 1
        share.counts[client, default: 0] += 1
        self.waiters += 1
        self.members[client, default: Member()].waiting.append((id, host))
        self.names[host] = name
        self.shares[site] = share
        let starts = isQueued && self.advance(site).contains(host)
        return Entry(step: starts ? .start : .wait, displaced: displaced)
    }

    /// A waiter's client is gone. A name that no client waits for loses its place in the queue.
    mutating func leave(id: UInt64, host: String) -> Waiter? {
        guard let (client, waiter) = self.names[host]?.waiters.removeValue(forKey: id), let name = self.names[host]
        else {
            return nil
        }
        self.members[client]?.waiting.removeAll { $0.id == id }
        self.forget(client, of: name.site)
        if case .queued = name.phase {
            if !name.isWanted(by: client) { self.shares[name.site]?.remove(host, for: client) }
            if name.waiters.isEmpty { self.names[host] = nil }
        }
        self.dropUnused(client, name.site)
        return waiter
    }

    // MARK: Look-ups

    /// A thread is there for a name that was handed out.
    mutating func start(_ host: String) -> Start {
        guard let name = self.names[host], name.waiters.isEmpty else { return .lookUp }
        return .abandoned(next: self.finish(host).next)
    }

    /// A look-up is over: who wants to know, and which names have to be started next.
    mutating func finish(_ host: String) -> (waiters: [Waiter], next: [String]) {
        guard let name = self.names[host], case .handedOut(let client) = name.phase else { return ([], []) }
        self.names[host] = nil
        for (id, waiting) in name.waiters {
            self.members[waiting.client]?.waiting.removeAll { $0.id == id }
            self.forget(waiting.client, of: name.site)
            self.dropUnused(waiting.client, nil)
        }
        self.shares[name.site]?.running -= 1
        self.members[client]?.running -= 1
        var next = self.advance(name.site)
        // The network may have been at its bound, and have names at other sites.
        if client != nil {
            for site in self.shares.filter({ $0.value.queues[client] != nil }).keys { next += self.advance(site) }
        }
        self.dropUnused(client, name.site)
        return (name.waiters.values.map(\.waiter), next)
    }

    /// Hands names of a site out while there is room, in fair turns.
    private mutating func advance(_ site: String) -> [String] {
        var started: [String] = []
        while var share = self.shares[site], share.running < max(1, self.limits.runningPerSite),
            let client = share.turn.first(where: { self.mayRun($0) }), let host = share.queues[client]?.first,
            var name = self.names[host]
        {
            for other in Set(name.waiters.values.map(\.client)) { share.remove(host, for: other) }
            if share.queues[client] != nil {
                share.turn.removeAll { $0 == client }
                share.turn.append(client)
            }
            share.running += 1
            name.phase = .handedOut(client)
            self.members[client, default: Member()].running += 1
            self.shares[site] = share
            self.names[host] = name
            started.append(host)
        }
        return started
    }

    private func mayRun(_ client: ClientNetwork?) -> Bool {
        client == nil || (self.members[client]?.running ?? 0) < max(1, self.limits.runningPerClient)
    }

    // MARK: Room

    private mutating func makeRoom(for client: ClientNetwork?, site: String, _ displaced: inout [Waiter]) -> Bool {
        let own = self.members[client]?.waiting.count ?? 0
        if client != nil, own >= max(1, self.limits.waitingPerClient) { self.displace(client, site: nil, &displaced) }
        if let share = self.shares[site], share.waiters >= self.limits.waitingPerSite {
            let most = share.counts.filter { $0.key != nil }.max { $0.value < $1.value }
            guard let most, most.value > (share.counts[client] ?? 0) + 1 else { return false }
            self.displace(most.key, site: site, &displaced)
        }
        if self.waiters >= self.limits.waiting {
            let most = self.members.filter { $0.key != nil }.max { $0.value.waiting.count < $1.value.waiting.count }
            guard let most, most.value.waiting.count > (self.members[client]?.waiting.count ?? 0) + 1 else {
                return false
            }
            self.displace(most.key, site: nil, &displaced)
        }
        return true
    }

    /// The oldest of this network gives way.
    ///
    /// - Parameter site: of those at this site.
    private mutating func displace(_ client: ClientNetwork?, site: String?, _ displaced: inout [Waiter]) {
        let oldest = self.members[client]?.waiting.first { site == nil || self.names[$0.host]?.site == site }
        guard let oldest, let waiter = self.leave(id: oldest.id, host: oldest.host) else { return }
        displaced.append(waiter)
    }

    // MARK: Records

    private mutating func forget(_ client: ClientNetwork?, of site: String) {
        self.waiters -= 1
        self.shares[site]?.waiters -= 1
        guard let count = self.shares[site]?.counts[client] else { return }
        self.shares[site]?.counts[client] = count > 1 ? count - 1 : nil
    }

    private mutating func dropUnused(_ client: ClientNetwork?, _ site: String?) {
        if let member = self.members[client], member.waiting.isEmpty, member.running == 0 { self.members[client] = nil }
        if let site, self.shares[site]?.isUnused == true { self.shares[site] = nil }
    }
}

extension LookupQueue.Entry: Sendable where Waiter: Sendable {}
