/// What answers take of themselves, where they wait for no others from here; and what of an answer's time is more than that.
/// Pure; times are nanoseconds.
///
/// It is learnt from answers that had few others before them: fewer requests under way would not have made them sooner. Under
/// load there are none of these, and what was learnt stands, unless answers take clearly less on the average. It is a mean, not
/// the least, since requests differ: a handshake that is resumed, or that begins with a HelloRetryRequest, takes no signature,
/// and must not make one that does look like one that has waited.
struct AnswerTime: Sendable {
    /// The newest answer's weight is one part of so many at least.
    private static let memory: Int64 = 8
    /// Answers in a mean of all.
    private static let several: UInt64 = 64

    private let deadline: UInt64
    /// What answers take of themselves; 0 while that is not known.
    private(set) var own: UInt64 = 0
    /// Answers that it was learnt from, up to ``memory``.
    private var known: Int64 = 0
    private var sum: UInt64 = 0
    private var count: UInt64 = 0

    /// - Parameter deadline: When an answer is of no use any more.
    init(deadline: UInt64) { self.deadline = deadline }

    /// What answers may spend in queues: a sixteenth of the deadline; or half of their own time, up to a quarter of the
    /// deadline, since times of long answers vary more.
    var target: UInt64 { max(1, self.deadline / 16, min(self.own / 2, self.deadline / 4)) }

    /// - Parameter behindFew: Few others were under way when it began.
    /// - Returns: what of the time was spent in queues, in targets.
    mutating func answered(after taken: UInt64, behindFew: Bool) -> Double {
        if behindFew { self.learn(taken) }
        self.sum += min(taken, self.deadline)
        self.count += 1
        if self.count == Self.several {
            let mean = self.sum / self.count
            if mean < self.own / 4 * 3 { self.own -= (self.own - mean) / 4 }
            (self.sum, self.count) = (0, 0)
        }
        return Double(taken - min(self.own, taken)) / Double(self.target)
    }

    private mutating func learn(_ taken: UInt64) {
        self.known = min(self.known + 1, Self.memory)
        self.own = UInt64(max(0, Int64(self.own) + (Int64(min(taken, self.deadline)) - Int64(self.own)) / self.known))
    }
}
