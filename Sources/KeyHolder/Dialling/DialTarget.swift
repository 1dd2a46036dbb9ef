import Admission
import PeerLink

/// The connections that a key holder has opened to one edge's address, and when it opens more.
///
/// A connection is an *offer* until the edge takes it by beginning TLS, and a *link* once the edge has proved who it is and has
/// a grant. There are always offers, so that the edge has the next link when it wants one: for another event loop, after a
/// reload, or when a link broke. What the edge does decides how many links there are; how fast they come is bounded here.
///
/// Pure: times are arguments, in nanoseconds of a monotonic clock. Dropped silently: whatever is said of a connection that is
/// gone.
struct DialTarget {
    typealias Connection = UInt64

    struct Limits {
        /// Offers at once.
        var offers = 2
        /// Offers, and connections on which the edge has yet to prove who it is.
        var unproved = 4
        /// Connections opened per second in the long run, and at once.
        var perSecond = 10
        var burst = 32
        /// An offer that was closed before was not wanted: nanoseconds.
        var wanted: Int64 = 1_000_000_000
        /// An offer is replaced after so long, since a firewall may have forgotten it: nanoseconds.
        var age: ClosedRange<Int64> = 45_000_000_000...75_000_000_000
        /// Where an edge was that has no grant, one connection finds out after so long whether it still is: nanoseconds.
        var probe: Int64 = 60_000_000_000
    }

    struct Step: Equatable {
        var dial: [Connection] = []
        var close: [Connection] = []
        /// When to look again; nil: when something happens.
        var at: Int64?
    }

    enum State: Equatable {
        case dialling
        case offered(since: Int64, until: Int64)
        case shaking
        case link
    }

    private let limits: Limits
    private(set) var connections: [Connection: State] = [:]
    private var count: Connection = 0
    private var bucket: TokenBucket
    /// For addresses that are not reached, and offers that end: 100 ms to 5 s.
    private var failures = BackOff()
    /// For what does not want this key holder, or is not an edge: 1 s to a minute.
    private var refusals = BackOff(first: 1000, ceiling: 60_000)
    private var notBefore: Int64 = .min
    /// An edge has taken connections at that address: offers that end at once are not all its doing.
    private var wasLinked = false
    /// The edge at that address, which has no grant.
    private(set) var ungranted: String?
    private var isStopped = false

    init(limits: Limits = Limits(), now: Int64) {
        self.limits = limits
        self.bucket = TokenBucket(perSecond: limits.perSecond, burst: limits.burst, now: UInt64(clamping: now))
    }

    /// What is due now.
    mutating func step(now: Int64) -> Step {
        var step = Step()
        guard !self.isStopped else { return step }
        for (connection, state) in self.connections {
            guard case .offered(_, let until) = state else { continue }
            if until <= now {
                self.connections[connection] = nil
                step.close.append(connection)
            } else {
                step.at = min(step.at ?? .max, until)
            }
        }
        guard now >= self.notBefore else {
            step.at = min(step.at ?? .max, self.notBefore)
            return step
        }
        while self.wantsMore {
            guard self.bucket.take(now: UInt64(clamping: now)) else {
                step.at = min(step.at ?? .max, now + 1_000_000_000 / Int64(self.limits.perSecond))
                break
            }
            self.count += 1
            self.connections[self.count] = .dialling
            step.dial.append(self.count)
        }
        return step
    }

    private var wantsMore: Bool {
        var (offers, shaking) = (0, 0)
        for state in self.connections.values {
            switch state {
            case .dialling, .offered: offers += 1
            case .shaking: shaking += 1
            case .link: break
            }
        }
        if self.ungranted != nil { return offers + shaking == 0 }
        // Where the last one failed, one is enough to find out more.
        let wanted = self.failures.attempts + self.refusals.attempts > 0 ? 1 : self.limits.offers
        return offers < wanted && offers + shaking < self.limits.unproved
    }

    // MARK: Events

    /// It is connected, and has said who it is.
    ///
    /// - Parameter random: 0 to 1.
    mutating func offered(_ connection: Connection, now: Int64, random: Double) {
        guard self.connections[connection] == .dialling else { return }
        let span = Double(self.limits.age.upperBound - self.limits.age.lowerBound)
        let age = self.limits.age.lowerBound + Int64(span * min(max(random, 0), 1))
        self.connections[connection] = .offered(since: now, until: now + age)
    }

    /// The edge begins TLS.
    mutating func taken(_ connection: Connection) {
        guard case .offered? = self.connections[connection] else { return }
        self.connections[connection] = .shaking
    }

    /// It is an edge with a grant.
    mutating func linked(_ connection: Connection) {
        guard self.connections[connection] == .shaking else { return }
        self.connections[connection] = .link
        self.wasLinked = true
        self.ungranted = nil
        self.failures.reset()
        self.refusals.reset()
        self.notBefore = .min
    }

    /// It is an edge, and has no grant, or none any more: until it has one, one connection a minute is opened, since the address may be
    /// another edge's again.
    ///
    /// - Returns: offers that are to be closed.
    mutating func ungranted(_ edge: String, now: Int64) -> [Connection] {
        self.ungranted = edge
        self.notBefore = now + self.limits.probe
        return self.takeOffers()
    }

    /// A grant came, or another edge may be there now.
    mutating func granted() {
        guard self.ungranted != nil else { return }
        self.ungranted = nil
        self.failures.reset()
        self.refusals.reset()
        self.notBefore = .min
    }

    /// The connection has ended, or did not come about.
    ///
    /// - Returns: what it was; nil: it was none any more.
    mutating func ended(_ connection: Connection, now: Int64, random: Double) -> State? {
        guard let state = self.connections.removeValue(forKey: connection) else { return nil }
        var pause: Int64
        switch state {
        case .link: return state
        case .dialling: pause = self.failures.next(random: random)
        case .offered(let since, _) where now - since >= self.limits.wanted:
            // The edge restarts, or leaves its sockets to another process.
            self.failures.reset()
            self.refusals.reset()
            pause = self.failures.next(random: random)
            self.failures.reset()
        // Others may crowd its offers out at the edge: that must not keep it from coming again.
        case .offered where self.wasLinked: pause = self.failures.next(random: random)
        case .offered, .shaking: pause = self.refusals.next(random: random)
        }
        if self.ungranted != nil { pause = max(pause, self.limits.probe / 1_000_000) }
        self.notBefore = max(self.notBefore, now + pause * 1_000_000)
        return state
    }

    /// What new connections are verified with has changed: offers are made anew.
    ///
    /// - Returns: those to be closed.
    mutating func takeOffers() -> [Connection] {
        let offers = self.connections.filter { entry in
            switch entry.value {
            case .dialling, .offered: true
            case .shaking, .link: false
            }
        }.keys
        for offer in offers { self.connections[offer] = nil }
        return Array(offers)
    }

    /// The address is dialled no more. Links are not touched.
    ///
    /// - Returns: offers that are to be closed.
    mutating func stop() -> [Connection] {
        self.isStopped = true
        return self.takeOffers()
    }

    var links: Int { self.connections.values.count { $0 == .link } }
    var offers: Int {
        self.connections.values.count { if case .offered = $0 { true } else { false } }
    }
}
