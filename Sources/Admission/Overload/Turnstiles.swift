import DequeModule

/// What comes first of the work for one client.
public enum Urgency: Hashable, Sendable {
    /// Part of a handshake that was begun: work went into it already.
    case underWay
    case beginning
}

/// Who may have a peer asked now, for all the sites whose peer it is: in turns of the sites, and of the networks of each site's
/// clients. Pure; times are monotonic nanoseconds.
///
/// There is a window (``AnswerWindow``) for each site, since keys differ in what they take, and one for all of them, since they
/// share a peer. So whatever the sites are asked for, the peer's queues stay short, and a site that is asked for more than it can
/// be given takes no other site's turn. No site takes more than half of the room of all, so one whose answers do not come leaves
/// room for the others. Each site has its own rate and lines.
///
/// Our bug: an end without a beginning, or for a site that is not known; ignored.
public struct Turnstiles<ID: Hashable & Sendable>: Sendable {
    public enum Refusal: Hashable, Sendable {
        /// As many wait as may wait, none of a network with more.
        case full
        /// Its turn would come too late.
        case hopeless
    }

    public enum Entry: Hashable, Sendable {
        /// It is under way until ``ended(_:of:after:now:)``.
        case pass
        case wait
        /// It waits in the place of another, which is turned away.
        case waitInPlaceOf(ID)
        case turnedAway(Refusal)
    }

    private let capacity: Int
    private let patience: UInt64
    private let deadline: UInt64
    /// In the order in which they were heard of; none is ever forgotten.
    private var sites: [Turnstile<ID>] = []
    private var places: [String: Int] = [:]
    /// Of those that wait.
    private var siteOf: [ID: String] = [:]
    /// In the order of their coming, which is that of their deadlines; may name some that wait no more.
    private var deadlines: Deque<(id: ID, time: UInt64)> = []
    /// Sites for which something may pass as soon as there is room, in turn, each once; for some of them nothing waits any more.
    private var turn: Deque<String> = []
    private var inTurn: Set<String> = []
    /// Sites for which nothing may pass before something becomes of them, or (at this time) their rate allows it.
    private var stalled: [String: UInt64] = [:]
    /// The earliest of these times, or an earlier one.
    private var nextToken = UInt64.max
    private var window: AnswerWindow
    /// What is under way, of each site as far as its share goes: what is beyond that, since the window was larger once, takes no
    /// room of others.
    private var counted = 0

    /// - Parameters:
    ///   - capacity: How many wait for one site at once.
    ///   - patience: How long one waits, in nanoseconds.
    ///   - deadline: How long an answer may take, in nanoseconds.
    public init(capacity: Int, patience: UInt64, deadline: UInt64) {
        self.capacity = capacity
        self.patience = patience
        self.deadline = deadline
        self.window = AnswerWindow(deadline: deadline, isShared: true)
    }

    public var waiting: Int { self.siteOf.count }
    /// Requests that may be under way at once; and how many are.
    public var size: Int { self.window.size }
    public var underWay: Int { self.window.underWay }
    /// How many of one site.
    private var share: Int { (self.window.size + 1) / 2 }
    private var hasRoom: Bool { self.counted < self.window.size }

    /// What the grant for a site allows, per second; nil: it is not known.
    public mutating func setRate(_ rate: Int?, of site: String, now: UInt64) {
        self.withSite(site) { $0.setRate(rate, now: now) }
        self.activate(site)
    }

    /// The peer says that the grant for a site is used up.
    public mutating func usedUp(_ site: String, now: UInt64) {
        self.withSite(site) { $0.usedUp(now: now) }
        self.activate(site)
    }

    @specialized(where ID == UInt64)
    public mutating func enter(
        _ id: ID, for site: String, from network: ClientNetwork, _ urgency: Urgency, now: UInt64
    ) -> Entry {
        let share = self.share
        if self.hasRoom, self.withSite(site, { $0.passes(urgency, within: share, now: now) }) {
            self.began(site, now)
            return .pass
        }
        let entry = self.withSite(site) { $0.join(id, from: network, urgency, now: now) }
        switch entry {
        case .wait: break
        case .waitInPlaceOf(let other): self.siteOf[other] = nil
        case .pass, .turnedAway: return entry
        }
        self.siteOf[id] = site
        self.deadlines.append((id, now + self.patience))
        self.activate(site)
        return entry
    }

    /// One that waits is gone.
    @specialized(where ID == UInt64)
    public mutating func leave(_ id: ID) {
        guard let site = self.siteOf.removeValue(forKey: id) else { return }
        self.withSite(site) { $0.leave(id) }
        self.forgetDeadlines()
    }

    /// What passed has its answer, or will have none.
    ///
    /// - Parameter taken: Nanoseconds since it passed.
    @specialized(where ID == UInt64)
    public mutating func ended(_ outcome: AnswerWindow.Outcome, of site: String, after taken: UInt64, now: UInt64) {
        guard let place = self.places[site] else { return }
        let before = self.sites[place].underWay
        guard before > 0 else { return }
        self.withSite(site) { $0.ended(outcome, after: taken, now: now) }
        let size = self.window.size
        self.window.ended(outcome, after: taken, now: now)
        if self.window.size == size {
            if before <= self.share { self.counted -= 1 }
        } else {
            self.countAnew()
        }
        self.activate(site)
    }

    /// Who passes now, and who has waited too long. To be called after every other event, and at ``wake``.
    @specialized(where ID == UInt64)
    public mutating func advance(now: UInt64) -> (passing: [ID], expired: [ID]) {
        let expired = self.expire(now)
        if self.nextToken <= now { self.activateWithTokens(now) }
        var passing: [ID] = []
        let share = self.share
        while self.hasRoom, let site = self.turn.popFirst() {
            if let id = self.withSite(site, { $0.next(within: share, now: now) }) {
                self.began(site, now)
                self.siteOf[id] = nil
                passing.append(id)
                self.turn.append(site)
                continue
            }
            self.inTurn.remove(site)
            guard let place = self.places[site], self.sites[place].waiting > 0 else { continue }
            let turnstile = self.sites[place]
            if turnstile.isHeld(to: share) { self.window.wasFull() }
            let nextToken = turnstile.nextToken(within: share)
            self.stalled[site] = nextToken
            self.nextToken = min(self.nextToken, nextToken)
        }
        if !self.hasRoom, !self.turn.isEmpty { self.window.wasFull() }
        self.forgetDeadlines()
        return (passing, expired)
    }

    /// When ``advance(now:)`` is to be called at the latest; nil while none waits.
    public var wake: UInt64? {
        guard let deadline = self.deadlines.first?.time else { return nil }
        return self.hasRoom ? min(deadline, self.nextToken) : deadline
    }

    private mutating func began(_ site: String, _ now: UInt64) {
        if self.withSite(site, { $0.underWay }) <= self.share { self.counted += 1 }
        self.window.began(now: now)
    }

    /// The share is another one.
    private mutating func countAnew() {
        let share = self.share
        self.counted = self.sites.reduce(0) { $0 + min($1.underWay, share) }
    }

    private mutating func expire(_ now: UInt64) -> [ID] {
        var expired: [ID] = []
        while let first = self.deadlines.first, first.time <= now {
            self.deadlines.removeFirst()
            guard let site = self.siteOf.removeValue(forKey: first.id) else { continue }
            self.withSite(site) { $0.leave(first.id) }
            expired.append(first.id)
        }
        return expired
    }

    /// Those of what waits no more, so that there are never many more than wait.
    private mutating func forgetDeadlines() {
        while let first = self.deadlines.first, self.siteOf[first.id] == nil { self.deadlines.removeFirst() }
        if self.deadlines.count > 2 * self.siteOf.count + 1024 {
            self.deadlines.removeAll { self.siteOf[$0.id] == nil }
        }
    }

    /// Something has become of the site.
    private mutating func activate(_ site: String) {
        if !self.stalled.isEmpty { self.stalled[site] = nil }
        guard let place = self.places[site], self.sites[place].waiting > 0, self.inTurn.insert(site).inserted else {
            return
        }
        self.turn.append(site)
    }

    private mutating func activateWithTokens(_ now: UInt64) {
        for (site, time) in self.stalled where time <= now { self.activate(site) }
        self.nextToken = self.stalled.values.min() ?? .max
    }

    private mutating func withSite<Result>(_ site: String, _ body: (inout Turnstile<ID>) -> Result) -> Result {
        if let place = self.places[site] { return body(&self.sites[place]) }
        self.places[site] = self.sites.count
        self.sites.append(Turnstile(capacity: self.capacity, patience: self.patience, deadline: self.deadline))
        return body(&self.sites[self.sites.count - 1])
    }
}
