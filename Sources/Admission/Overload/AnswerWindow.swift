/// How many requests may be under way at a peer at once, so that it never lacks work and yet answers soon. Pure; times are
/// monotonic nanoseconds.
///
/// A queue at the peer, or on the way to it, cannot be seen. But its time can: what answers take beyond the peer's own time for
/// them (``AnswerTime``). Once a round, which is the time that an answer takes, the window becomes what keeps that near the
/// ``AnswerTime/target``: answers take as long as requests are under way, times the rate at which they are answered (Little's
/// law). While the window is full and answers come sooner, it grows by half. What waits for room waits at this end, where it is
/// in order and can be refused.
///
/// No answer weighs more than twice the target, however late it is: a window shrinks for what most answers find.
///
/// Our bug: an end without a beginning; ignored.
public struct AnswerWindow: Sendable {
    public enum Outcome: Hashable, Sendable {
        /// The peer did what it was asked.
        case answered
        /// Nothing came in time.
        case late
        /// The peer says that it has too much to do.
        case overloaded
        /// What tells nothing: it was not sent, its connection broke, or it was refused for another reason.
        case void
    }

    /// The sum of one round.
    private struct Round {
        var start: UInt64 = 0
        /// Answers, and refusals for overload; and what queues took of them, in targets.
        var count = 0
        var load = 0.0
        /// What did not come in time.
        var late = 0
        /// The time that all of them took.
        var taken: UInt64 = 0
        /// Something had to wait for room.
        var wasFull = false

        var all: Int { self.count + self.late }
    }

    /// The least window of all sites together.
    public static let least = 8
    /// The least of one site.
    static let leastOfSite = 2
    static let greatest = 8192
    /// A round takes so long at least, and has so many answers before the window shrinks.
    private static let shortestRound: UInt64 = 10_000_000
    private static let fewest = 4
    /// What one answer weighs at most, in targets.
    private static let heaviest = 2.0
    /// In a shared window: as long as one of so many comes in time, the others that do not tell nothing.
    private static let missing = 8

    /// Never smaller: a peer that is slow, or that fails for a while, is tried all the same.
    private let least: Int
    /// Requests of several sites go through it.
    private let isShared: Bool
    private var time: AnswerTime
    public private(set) var size: Int
    public private(set) var underWay = 0
    /// The last time in which no more than the least window was under way; without an end yet where that is nil.
    private var few: (from: UInt64, to: UInt64?) = (0, nil)
    private var round = Round()

    /// - Parameters:
    ///   - deadline: When an answer is of no use any more.
    ///   - isShared: Requests of several sites go through it. Each site has a window of its own for what does not come; so here
    ///     that counts only when hardly anything comes.
    public init(deadline: UInt64, isShared: Bool = false) {
        self.time = AnswerTime(deadline: deadline)
        self.isShared = isShared
        self.least = isShared ? Self.least : Self.leastOfSite
        self.size = isShared ? 128 : 64
    }

    public var hasRoom: Bool { self.underWay < self.size }

    public mutating func began(now: UInt64) {
        // What was before a rest tells nothing any more.
        if self.underWay == 0 { self.round = Round(start: max(1, now)) }
        self.underWay += 1
        if self.underWay > self.least, self.few.to == nil { self.few.to = now }
        if !self.hasRoom { self.wasFull() }
    }

    /// Something waits for room.
    mutating func wasFull() { self.round.wasFull = true }

    /// - Parameter taken: The time from the beginning.
    public mutating func ended(_ outcome: Outcome, after taken: UInt64, now: UInt64) {
        guard self.underWay > 0 else { return }
        self.underWay -= 1
        defer { if self.underWay <= self.least, self.few.to != nil { self.few = (now, nil) } }
        switch outcome {
        case .void: return
        case .answered:
            let began = now - min(taken, now)
            let load = self.time.answered(
                after: taken, behindFew: self.few.from <= began && began < self.few.to ?? .max)
            self.round.load += min(load, Self.heaviest)
            self.round.count += 1
        case .overloaded:
            self.round.load += Self.heaviest
            self.round.count += 1
        case .late: self.round.late += 1
        }
        self.round.taken += taken
        let mean = self.round.taken / UInt64(self.round.all)
        guard now >= self.round.start + max(mean, Self.shortestRound) else { return }
        self.conclude(now)
    }

    private mutating func conclude(_ now: UInt64) {
        let tells = !self.isShared || self.round.late > Self.missing * self.round.count
        let late = tells ? self.round.late : 0
        let load = (self.round.load + Double(late) * Self.heaviest) / Double(max(1, self.round.count + late))
        if load > 1 {
            // Few answers over a longer time tell as much as many.
            guard self.round.all >= Self.fewest || self.round.wasFull else { return }
            self.size = max(self.least, Int(Double(self.size) / load))
        } else if self.round.wasFull, load < 0.5 {
            self.size = min(Self.greatest, self.size + max(1, self.size / 2))
        }
        self.round = Round(start: max(1, now), wasFull: !self.hasRoom)
    }
}
