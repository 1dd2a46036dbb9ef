/// Which names are being looked up, for whom, and which wait for their turn. Pure.
///
/// Every site has its own share, of waiting clients as well as of look-ups that run, so that names whose DNS does not answer
/// delay nobody but the clients of their site. Our bugs: a name that starts or finishes without having been handed out;
/// ignored.
struct LookupQueue<Waiter> {
    enum Entry: Equatable {
        /// A look-up has to be started for the name.
        case start
        /// The name is being looked up already, or waits for its turn.
        case wait
        case overloaded
    }

    enum Start: Equatable {
        case lookUp
        /// Nobody wants to know any more; the next name of the site, if there is one, has to be started.
        case abandoned(next: String?)
    }

    private struct Name {
        let site: String
        var isHandedOut: Bool
        var waiters: [UInt64: Waiter] = [:]
    }

    private struct Share {
        var waiters = 0
        /// Names handed out to the threads.
        var running = 0
        /// Names that wait for their turn; never more than there are waiters.
        var queue: [String] = []
    }

    private let limits: NameResolver.Limits
    private var names: [String: Name] = [:]
    private var shares: [String: Share] = [:]
    /// All that wait, for whichever site.
    private(set) var waiters = 0

    init(limits: NameResolver.Limits) {
        self.limits = limits
    }

    /// - Parameter id: never the same twice.
    mutating func enter(_ waiter: Waiter, id: UInt64, host: String, site: String) -> Entry {
        let site = self.names[host]?.site ?? site
        var share = self.shares[site] ?? Share()
        guard self.waiters < self.limits.waiting, share.waiters < self.limits.waitingPerSite else { return .overloaded }
        self.waiters += 1
        share.waiters += 1
        defer { self.shares[site] = share }
        if self.names[host] != nil {
            self.names[host]?.waiters[id] = waiter
            return .wait
        }
        let startsNow = share.running < max(1, self.limits.runningPerSite)
        self.names[host] = Name(site: site, isHandedOut: startsNow, waiters: [id: waiter])
        if startsNow {
            share.running += 1
            return .start
        }
        share.queue.append(host)
        return .wait
    }

    /// A waiter's client is gone. A name that nobody waits for loses its place in the queue.
    mutating func leave(id: UInt64, host: String) -> Waiter? {
        guard var name = self.names[host], let waiter = name.waiters.removeValue(forKey: id) else { return nil }
        self.forget(1, of: name.site)
        if name.waiters.isEmpty, !name.isHandedOut {
            self.names[host] = nil
            self.shares[name.site]?.queue.removeAll { $0 == host }
            self.dropUnused(name.site)
        } else {
            self.names[host] = name
        }
        return waiter
    }

    /// A thread is there for a name that was handed out.
    mutating func start(_ host: String) -> Start {
        guard let name = self.names[host], name.waiters.isEmpty else { return .lookUp }
        return .abandoned(next: self.finish(host).next)
    }

    /// A look-up is over: who wants to know, and which name has to be started next.
    mutating func finish(_ host: String) -> (waiters: [Waiter], next: String?) {
        guard let name = self.names.removeValue(forKey: host), name.isHandedOut else { return ([], nil) }
        self.forget(name.waiters.count, of: name.site)
        var next: String?
        if var share = self.shares[name.site] {
            if share.queue.isEmpty {
                share.running -= 1
            } else {
                let host = share.queue.removeFirst()
                self.names[host]?.isHandedOut = true
                next = host
            }
            self.shares[name.site] = share
            self.dropUnused(name.site)
        }
        return (Array(name.waiters.values), next)
    }

    private mutating func forget(_ count: Int, of site: String) {
        self.waiters -= count
        self.shares[site]?.waiters -= count
    }

    private mutating func dropUnused(_ site: String) {
        if let share = self.shares[site], share.waiters == 0, share.running == 0, share.queue.isEmpty {
            self.shares[site] = nil
        }
    }
}
