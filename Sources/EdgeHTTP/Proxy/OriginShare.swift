import Admission

/// How many connections to an origin there may be, which clients' requests have one, and which wait. Pure; times are
/// monotonic nanoseconds.
///
/// While half of the connections are free, a request gets one at once. Beyond that a client's network has a share of them,
/// and its further requests wait in a line in which networks take turns (``FairLine``), as do all when no connection is free. So
/// requests that the origin does not answer hold up their own network. Requests of exempt networks, and the cache's own behind
/// its clients' backs (nil), have no share, and one turn together.
///
/// Our bugs: more ends than there were beginnings; ignored.
struct OriginShare {
    /// How a request gets its connection. It is counted already.
    enum Step: Equatable {
        /// One that is there, and idle.
        case reuse
        /// A new one.
        case connect
    }

    enum Entry: Equatable {
        case go(Step)
        case wait
        /// It waits in the place of another, which waits no more.
        case waitInPlaceOf(UInt64)
        case overloaded
    }

    /// Of connections, by network.
    private struct Uses {
        let perClient: Int
        let plenty: Int
        var total = 0
        var counts: [ClientNetwork: Int] = [:]

        func allow(_ network: ClientNetwork) -> Bool {
            self.total < self.plenty || self.isUnbounded(network) || self.counts[network, default: 0] < self.perClient
        }

        private func isUnbounded(_ network: ClientNetwork) -> Bool {
            network.isExempt || network == OriginShare.unbounded
        }

        mutating func begin(_ network: ClientNetwork) {
            self.total += 1
            if !self.isUnbounded(network) { self.counts[network, default: 0] += 1 }
        }

        mutating func end(_ network: ClientNetwork) {
            self.total = max(0, self.total - 1)
            guard let count = self.counts[network] else { return }
            self.counts[network] = count > 1 ? count - 1 : nil
        }
    }

    /// One turn for all that have no share of their own.
    private static let unbounded = ClientNetwork(nil as IPAddress?)

    private let connections: Int
    private var open = 0
    private var uses: Uses
    private var line: FairLine<UInt64>
    /// No request that waits could go on.
    private var isSettled = true

    /// - Parameters:
    ///   - connections: at once; at least one.
    ///   - perClient: how many of them one network may use when more than half are in use; at least one.
    ///   - waiting: requests that wait at once.
    ///   - patience: how long one waits, in nanoseconds.
    init(connections: Int, perClient: Int, waiting: Int, patience: UInt64) {
        self.connections = max(1, connections)
        self.uses = Uses(perClient: max(1, perClient), plenty: self.connections / 2)
        self.line = FairLine(capacity: waiting, patience: patience)
    }

    /// Whether ``next()`` may find one.
    var isDue: Bool { !self.isSettled }

    /// Whether a request of this network would have to wait, even if a connection were free.
    func isOverShare(_ network: ClientNetwork?) -> Bool { !self.uses.allow(network ?? Self.unbounded) }

    private var idle: Int { self.open - self.uses.total }

    /// A request may have an idle connection now, which is counted as in use from here on.
    mutating func reuse(for network: ClientNetwork?) -> Bool {
        let network = network ?? Self.unbounded
        guard self.idle > 0, self.isSettled, self.uses.allow(network) else { return false }
        self.uses.begin(network)
        return true
    }

    /// A request wants a connection.
    ///
    /// - Parameters:
    ///   - id: never the same twice.
    ///   - prefersNew: it does not want an idle one if there may be another.
    mutating func enter(_ id: UInt64, from network: ClientNetwork?, prefersNew: Bool = false, now: UInt64) -> Entry {
        let network = network ?? Self.unbounded
        if self.isSettled, self.uses.allow(network), let step = self.step(prefersNew: prefersNew) {
            self.take(step, network)
            return .go(step)
        }
        switch self.line.join(id, from: network, now: now) {
        case .waiting: return .wait
        case .inPlaceOf(let other): return .waitInPlaceOf(other)
        case .full: return .overloaded
        }
    }

    /// - Returns: whether it waited.
    @discardableResult
    mutating func leave(_ id: UInt64) -> Bool {
        guard self.line.network(of: id) != nil else { return false }
        self.line.leave(id)
        return true
    }

    /// A request is over, and its connection idle.
    mutating func ended(_ network: ClientNetwork?) {
        self.uses.end(network ?? Self.unbounded)
        self.unsettle()
    }

    /// A request's connection is gone.
    mutating func gone(_ network: ClientNetwork?) {
        self.uses.end(network ?? Self.unbounded)
        self.idleGone()
    }

    /// An idle connection is gone.
    mutating func idleGone() {
        self.open = max(0, self.open - 1)
        self.unsettle()
    }

    /// Which request that waits may go on now; nil if there is none, or no more. To be asked after each end until then.
    mutating func next() -> (id: UInt64, step: Step)? {
        guard let step = self.step(prefersNew: false) else {
            self.isSettled = true
            return nil
        }
        let uses = self.uses
        var network = Self.unbounded
        let id = self.line.next {
            network = $0
            return uses.allow($0)
        }
        guard let id else {
            self.isSettled = true
            return nil
        }
        self.take(step, network)
        return (id, step)
    }

    /// When ``expired(now:)`` finds one; nil if none waits.
    var deadline: UInt64? { self.line.deadline }

    /// Those who have waited too long, and wait no more.
    mutating func expired(now: UInt64) -> [UInt64] { self.line.expired(now: now) }

    private func step(prefersNew: Bool) -> Step? {
        let mayConnect = self.open < self.connections
        if self.idle > 0, !(prefersNew && mayConnect) { return .reuse }
        return mayConnect ? .connect : nil
    }

    private mutating func take(_ step: Step, _ network: ClientNetwork) {
        if step == .connect { self.open += 1 }
        self.uses.begin(network)
    }

    private mutating func unsettle() {
        self.isSettled = self.line.count == 0
    }
}
