/// How many requests may be under way at a peer at once, so that it never lacks work and yet answers soon. Pure; times are
/// monotonic nanoseconds.
///
/// A queue at the peer, or on the way to it, cannot be seen. But its time can: what answers take beyond the peer's own time for
/// them. Once a round, which is the time that an answer takes, the window becomes what keeps that near ``target``: answers take
/// as long as requests are under way, times the rate at which they are answered (Little's law). While the window is full and
/// answers come sooner, it grows by half. What waits for room waits at this end, where it is in order and can be refused.
///
/// Our bug: an end without a beginning; ignored.
public struct AnswerWindow: Sendable {
    public enum Outcome: Hashable, Sendable {
        /// Whatever the answer was.
        case answered
        /// Nothing came in time, or the peer had too much to do.
        case late
        /// What tells nothing: it was not sent, or its connection broke.
        case void
    }

    /// The sum of one round.
    private struct Round {
        var start: UInt64 = 0
        var count: UInt64 = 0
        var queueing: UInt64 = 0
        var taken: UInt64 = 0
        /// The most that were under way at once.
        var most = 0
        /// Something had to wait for room.
        var wasFull = false
    }

    /// A window is never smaller: a peer that is slow, or that fails for a while, is tried all the same.
    public static let least = 8
    public static let greatest = 8192
    /// A round takes so long at least, and has so many answers before the window shrinks.
    private static let shortestRound: UInt64 = 10_000_000
    private static let fewest: UInt64 = 4

    /// What answers may spend in queues.
    private let target: UInt64
    public private(set) var size: Int
    public private(set) var underWay = 0
    private var round = Round()

    /// - Parameter deadline: When an answer is of no use any more.
    public init(deadline: UInt64, size: Int = 64) {
        self.target = max(1, deadline / 16)
        self.size = size
    }

    public var hasRoom: Bool { self.underWay < self.size }

    public mutating func began(now: UInt64) {
        if self.round.start == 0 { self.round.start = max(1, now) }
        self.underWay += 1
        self.round.most = max(self.round.most, self.underWay)
        if !self.hasRoom { self.round.wasFull = true }
    }

    /// - Parameters:
    ///   - queueing: What of the time the answer spent in queues.
    ///   - taken: The time from the beginning.
    public mutating func ended(_ outcome: Outcome, queueing: UInt64, after taken: UInt64, now: UInt64) {
        guard self.underWay > 0 else { return }
        self.underWay -= 1
        switch outcome {
        case .void: return
        case .answered: self.round.queueing += queueing
        case .late: self.round.queueing += max(queueing, 2 * self.target)
        }
        self.round.count += 1
        self.round.taken += taken
        let mean = self.round.taken / self.round.count
        guard now >= self.round.start + max(mean, Self.shortestRound) else { return }
        self.conclude(now)
    }

    private mutating func conclude(_ now: UInt64) {
        let queueing = self.round.queueing / self.round.count
        if queueing > self.target {
            // Few answers over a longer time tell as much as many.
            guard self.round.count >= Self.fewest || self.round.wasFull else { return }
            let part = max(0.5, Double(self.target) / Double(queueing))
            self.size = max(Self.least, Int(Double(min(self.size, self.round.most)) * part))
        } else if self.round.wasFull, queueing < self.target / 2 {
            self.size = min(Self.greatest, self.size + max(1, self.size / 2))
        }
        self.round = Round(start: max(1, now), most: self.underWay, wasFull: !self.hasRoom)
    }
}

/// What answers of one kind take where they wait for nothing: the least of the last half minute to minute. Pure; times are
/// monotonic nanoseconds.
///
/// Under load that lasts, even the fastest answer has waited; so no more than ``most`` is taken for the peer's own time.
struct AnswerTime: Sendable {
    private static let span: UInt64 = 30_000_000_000

    private let most: UInt64
    private var before: UInt64?
    private var least: UInt64?
    private var start: UInt64 = 0

    init(deadline: UInt64) { self.most = deadline / 4 }

    /// - Returns: what of this answer's time was spent in queues.
    mutating func answered(after taken: UInt64, now: UInt64) -> UInt64 {
        if now >= self.start + Self.span {
            self.before = self.least
            self.least = nil
            self.start = now
        }
        self.least = min(self.least ?? taken, taken)
        let own = min(self.most, min(self.least ?? taken, self.before ?? taken))
        return taken - min(own, taken)
    }
}
