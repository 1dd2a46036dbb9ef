/// Lets through what one site's grant and its key allow, and the rest in fair turns as soon as they do. Pure; times are
/// monotonic nanoseconds.
///
/// A rate, where one is known, counts beginnings. The window (``AnswerWindow``) counts all that is under way. What goes on with a
/// handshake that was begun passes before what begins one: work went into it already. Each has a line of its own, in which
/// networks take turns (``FairLine``). What would wait longer than its patience, judged by how fast the line moves, is turned
/// away at once.
struct Turnstile<ID: Hashable & Sendable>: Sendable {
    private let patience: UInt64
    private var beginning: FairLine<ID>
    private var continuing: FairLine<ID>
    private var rate: Int?
    private var bucket = TokenBucket(perSecond: 0, burst: 0, now: 0)
    private(set) var window: AnswerWindow
    private var pace = Pace()

    /// - Parameters:
    ///   - capacity: How many beginnings wait at once; a quarter as many of what goes on with them.
    ///   - patience: How long one may wait.
    ///   - deadline: When an answer is of no use any more.
    init(capacity: Int, patience: UInt64, deadline: UInt64) {
        self.patience = patience
        // Their time is kept by the caller, for all sites in one.
        self.beginning = FairLine(capacity: capacity, patience: .max / 2)
        self.continuing = FairLine(capacity: max(1, capacity / 4), patience: .max / 2)
        self.window = AnswerWindow(deadline: deadline)
    }

    var waiting: Int { self.beginning.count + self.continuing.count }

    /// The rate is known, or has changed, or is not known any more. The burst is half of a second's: those who keep the
    /// count at the other end allow more, so that what passes here passes there.
    mutating func setRate(_ rate: Int?, now: UInt64) {
        guard rate != self.rate else { return }
        self.rate = rate
        guard let rate else { return }
        self.bucket = TokenBucket(perSecond: rate, burst: max(1, rate / 2), now: now)
    }

    /// The other end says that the rate is used up.
    mutating func usedUp(now: UInt64) {
        if self.rate != nil { self.bucket.drain(now: now) }
    }

    var underWay: Int { self.window.underWay }

    /// Whether one more may be under way.
    ///
    /// - Parameter share: How many the site may have of what all sites have together.
    func hasRoom(within share: Int) -> Bool { self.window.hasRoom && self.underWay < share }

    /// Whether it is that share alone that it has no room in.
    func isHeld(to share: Int) -> Bool { self.window.hasRoom && self.underWay >= share }

    /// Whether one that comes now may pass without waiting; it is counted then.
    mutating func passes(_ urgency: Urgency, within share: Int, now: UInt64) -> Bool {
        guard self.hasRoom(within: share) else { return false }
        switch urgency {
        case .underWay: guard self.continuing.count == 0 else { return false }
        case .beginning: guard self.waiting == 0, self.takeToken(now) else { return false }
        }
        self.pass(now)
        return true
    }

    mutating func join(_ id: ID, from network: ClientNetwork, _ urgency: Urgency, now: UInt64) -> Turnstiles<ID>.Entry {
        let entry: FairLine<ID>.Entry
        switch urgency {
        case .underWay: entry = self.continuing.join(id, from: network, now: now)
        case .beginning:
            let ahead = UInt64(self.beginning.ahead(of: network) + self.continuing.count)
            // An interval is a second at most, and ahead are no more than wait. The line may get slower by an eighth.
            guard ahead * self.pace.interval <= self.patience / 8 * 7 else { return .turnedAway(.hopeless) }
            entry = self.beginning.join(id, from: network, now: now)
        }
        return switch entry {
        case .waiting: .wait
        case .inPlaceOf(let other): .waitInPlaceOf(other)
        case .full: .turnedAway(.full)
        }
    }

    mutating func leave(_ id: ID) {
        self.beginning.leave(id)
        self.continuing.leave(id)
    }

    /// The next that may pass, taken out and counted.
    mutating func next(within share: Int, now: UInt64) -> ID? {
        guard self.hasRoom(within: share) else { return nil }
        if let id = self.continuing.next() {
            self.pass(now)
            return id
        }
        guard self.beginning.count > 0, self.takeToken(now), let id = self.beginning.next() else { return nil }
        self.pass(now)
        return id
    }

    mutating func ended(_ outcome: AnswerWindow.Outcome, after taken: UInt64, now: UInt64) {
        self.window.ended(outcome, after: taken, now: now)
    }

    /// When time alone brings it about that ``next(within:now:)`` finds one; `.max`: never.
    func nextToken(within share: Int) -> UInt64 {
        self.hasRoom(within: share) && self.beginning.count > 0 && self.rate != nil ? self.bucket.nextToken : .max
    }

    private mutating func takeToken(_ now: UInt64) -> Bool { self.rate == nil || self.bucket.take(now: now) }

    private mutating func pass(_ now: UInt64) {
        self.window.began(now: now)
        self.pace.passed(now, isBusy: self.waiting > 0)
    }
}

/// How fast a line moves.
private struct Pace: Sendable {
    /// What is known is forgotten when nothing has had to wait for so long; and one that passes counts for no more.
    private static let memory: UInt64 = 1_000_000_000

    /// Between two that pass while others wait: a mean in which the last sixteen weigh most; nanoseconds.
    private(set) var interval: UInt64 = 0
    private var last: UInt64?
    /// When one passed while others waited.
    private var busy: UInt64 = 0

    mutating func passed(_ now: UInt64, isBusy: Bool) {
        defer { self.last = isBusy ? now : nil }
        if isBusy {
            self.busy = now
        } else if now > self.busy + Self.memory {
            self.interval = 0
        }
        guard let last = self.last else { return }
        let sample = Int64(min(now - min(last, now), Self.memory))
        self.interval = UInt64(max(0, Int64(self.interval) + (sample - Int64(self.interval)) / 16))
    }
}
