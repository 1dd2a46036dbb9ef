/// Which of several key holders gets the next request: a ready one that answers soon.
///
/// Each has an estimate of how long its next answer takes: its smoothed time to an answer, or for how long it has been silent with
/// requests under way, whichever is longer, times the requests before it. So a near one gets most, a far one what the near one is too
/// busy for, and one that hangs nothing from the moment at which its silence shows.
///
/// Pure: times are arguments, in nanoseconds of a monotonic clock.
///
/// Inputs that are our bug: an index out of range (traps). Dropped silently: an answer time for a holder that has gone
/// down meanwhile.
struct HolderSelection: Sendable {
    enum Health: String, Sendable, Equatable {
        /// Not connected.
        case down
        /// Connected and answering.
        case ready
        /// Connected, but silent while others answer, or a request timed out; and no probe has been answered since.
        case suspect
    }

    struct Holder: Sendable {
        var health: Health = .down
        /// Smoothed time to an answer, ns. Nil before the first answer.
        var latency: Double?
        var inFlight = 0
        /// Since when it has answered nothing, though something is under way; nil: nothing is.
        var waitingSince: Int64?
        /// An operation was answered since the last probe: what a probe takes says less.
        var wasMeasured = false
        /// Another one is asked before this one until then: it failed. Nanoseconds.
        var avoidedUntil = Int64.min

        /// When a ping asked whether it is there, since it is silent.
        var askedAt: Int64?

        func silence(at now: Int64) -> Int64 { self.waitingSince.map { max(0, now - $0) } ?? 0 }

        /// What is to be expected of one more request, ns.
        func cost(at now: Int64) -> Double {
            max(self.latency ?? 0, Double(self.silence(at: now))) * Double(self.inFlight + 1)
        }
    }

    private(set) var holders: [Holder]

    /// For how long one that has failed at a request is asked only where no other one is ready. Nanoseconds.
    static let restAfterFailure: Int64 = 1_000_000_000

    init(count: Int) { self.holders = Array(repeating: Holder(), count: count) }

    /// The holder to ask, or nil if none is ready that may be asked.
    ///
    /// One without a measured latency is asked first: that is how it gets one.
    ///
    /// - Parameter isOut: whether one is not to be asked.
    func choose(now: Int64, excluding isOut: (Int) -> Bool = { _ in false }) -> Int? {
        var best: Int?
        var bestCost = (isAvoided: true, time: Double.infinity)
        for (index, holder) in self.holders.enumerated() where holder.health == .ready && !isOut(index) {
            let cost = (isAvoided: holder.avoidedUntil > now, time: holder.cost(at: now))
            if cost.isAvoided == bestCost.isAvoided ? cost.time < bestCost.time : !cost.isAvoided {
                best = index
                bestCost = cost
            }
        }
        return best
    }

    /// Those that have been silent for longer than this with something under way, while another one is ready and is not.
    func silent(for patience: Int64, now: Int64) -> [Int] {
        let silent = self.holders.indices.filter {
            self.holders[$0].health == .ready && self.holders[$0].silence(at: now) > patience
        }
        let others = self.holders.indices.contains { self.holders[$0].health == .ready && !silent.contains($0) }
        return others ? silent : []
    }

    /// What its silence has come to for each: after half of the patience a ping asks whether it is there, and where neither that nor anything else
    /// is answered until the patience is over, it is to be left. The ping gets half of the patience, or twice what answers take.
    mutating func silenceNews(patience: Int64, now: Int64) -> (asked: [Int], left: [Int]) {
        let asked = self.silent(for: patience / 2, now: now).filter { self.holders[$0].askedAt == nil }
        for index in asked { self.holders[index].askedAt = now }
        let left = self.silent(for: patience, now: now).filter { index in
            let time = max(Double(patience / 2), 2 * (self.holders[index].latency ?? 0))
            return self.holders[index].askedAt.map { Double(now - $0) >= time } ?? false
        }
        return (asked, left)
    }

    var hasReady: Bool { self.holders.contains { $0.health == .ready } }

    mutating func connected(_ index: Int) { self.holders[index] = Holder(health: .ready) }

    mutating func disconnected(_ index: Int) {
        self.holders[index].health = .down
        self.holders[index].inFlight = 0
        self.holders[index].waitingSince = nil
    }

    mutating func sent(_ index: Int, now: Int64) {
        self.holders[index].inFlight += 1
        if self.holders[index].waitingSince == nil { self.holders[index].waitingSince = now }
    }

    /// An answer to a request.
    mutating func answered(_ index: Int, after nanoseconds: Int64, now: Int64) {
        guard self.holders[index].health != .down else { return }
        self.finish(index)
        self.heard(index, now: now)
        self.holders[index].wasMeasured = true
        self.measure(index, nanoseconds)
    }

    /// An answer to a probe. Probes are answered ahead of work, so of one that works they say only that it is there.
    mutating func probed(_ index: Int, after nanoseconds: Int64, now: Int64) {
        guard self.holders[index].health != .down else { return }
        self.heard(index, now: now)
        if !self.holders[index].wasMeasured { self.measure(index, nanoseconds) }
        self.holders[index].wasMeasured = false
    }

    /// A request was refused: an answer, but no measure, since no work was done for it.
    mutating func declined(_ index: Int, now: Int64) {
        guard self.holders[index].health != .down else { return }
        self.finish(index)
        self.heard(index, now: now)
    }

    /// A request was refused since the holder could not do what it should be able to. It says so at once, so that by its times it would be
    /// asked first each time.
    mutating func failed(_ index: Int, now: Int64) {
        self.declined(index, now: now)
        self.holders[index].avoidedUntil = now + Self.restAfterFailure
    }

    /// No answer in time. The holder gets no more requests until it answers something.
    mutating func timedOut(_ index: Int) {
        guard self.holders[index].health != .down else { return }
        self.finish(index)
        self.holders[index].health = .suspect
    }

    /// A request is not waited for any more, since another holder has answered it: this one takes as long at least.
    mutating func outrun(_ index: Int, after nanoseconds: Int64) {
        guard self.holders[index].health != .down else { return }
        self.finish(index)
        if Double(nanoseconds) > self.holders[index].latency ?? 0 { self.measure(index, nanoseconds) }
    }

    /// A request that never left, or whose connection ended under it.
    mutating func dropped(_ index: Int) { self.finish(index) }

    /// A probe went unanswered, or nothing comes.
    mutating func suspected(_ index: Int) {
        if self.holders[index].health == .ready { self.holders[index].health = .suspect }
    }

    private mutating func heard(_ index: Int, now: Int64) {
        self.holders[index].health = .ready
        self.holders[index].askedAt = nil
        if self.holders[index].waitingSince != nil { self.holders[index].waitingSince = now }
    }

    private mutating func measure(_ index: Int, _ nanoseconds: Int64) {
        let sample = Double(max(nanoseconds, 0))
        self.holders[index].latency = self.holders[index].latency.map { $0 + (sample - $0) / 8 } ?? sample
    }

    private mutating func finish(_ index: Int) {
        self.holders[index].inFlight = max(0, self.holders[index].inFlight - 1)
        if self.holders[index].inFlight == 0 {
            self.holders[index].waitingSince = nil
            self.holders[index].askedAt = nil
        }
    }
}
