/// Which of several key holders gets the next request: the ready one that answers fastest.
///
/// Pure: times are arguments, in nanoseconds of a monotonic clock.
///
/// Inputs that are our bug: an index out of range (traps). Dropped silently: an answer time for a holder that has gone
/// down meanwhile.
struct HolderSelection: Sendable {
    enum Health: Sendable, Equatable {
        /// Not connected.
        case down
        /// Connected and answering.
        case ready
        /// Connected, but a request timed out and no probe has been answered since.
        case suspect
    }

    struct Holder: Sendable {
        var health: Health = .down
        /// Smoothed time to an answer, ns. Nil before the first answer.
        var latency: Double?
        var inFlight = 0
    }

    private(set) var holders: [Holder]

    init(count: Int) { self.holders = Array(repeating: Holder(), count: count) }

    /// The holder to ask, or nil if none is ready that has not been tried.
    ///
    /// One without a measured latency is asked first: that is how it gets one. Requests in flight count as load, so that
    /// two holders of equal speed share the work instead of taking turns at all of it.
    func choose(excluding tried: Set<Int> = []) -> Int? {
        var best: Int?
        var bestCost = Double.infinity
        for (index, holder) in self.holders.enumerated() where holder.health == .ready && !tried.contains(index) {
            let cost = (holder.latency ?? 0) * Double(holder.inFlight + 1)
            if cost < bestCost {
                best = index
                bestCost = cost
            }
        }
        return best
    }

    var hasReady: Bool { self.holders.contains { $0.health == .ready } }

    mutating func connected(_ index: Int) {
        self.holders[index].health = .ready
        self.holders[index].latency = nil
        self.holders[index].inFlight = 0
    }

    mutating func disconnected(_ index: Int) {
        self.holders[index].health = .down
        self.holders[index].inFlight = 0
    }

    mutating func sent(_ index: Int) { self.holders[index].inFlight += 1 }

    /// An answer to a request or to a probe.
    mutating func answered(_ index: Int, after nanoseconds: Int64, probe: Bool = false) {
        guard self.holders[index].health != .down else { return }
        if !probe { self.finish(index) }
        self.holders[index].health = .ready
        let sample = Double(max(nanoseconds, 0))
        self.holders[index].latency = self.holders[index].latency.map { $0 + (sample - $0) / 8 } ?? sample
    }

    /// No answer in time. The holder gets no more requests until it answers something.
    mutating func timedOut(_ index: Int) {
        guard self.holders[index].health != .down else { return }
        self.finish(index)
        self.holders[index].health = .suspect
    }

    /// A request that never left, or whose connection ended under it.
    mutating func dropped(_ index: Int) { self.finish(index) }

    /// A probe went unanswered.
    mutating func suspected(_ index: Int) {
        if self.holders[index].health == .ready { self.holders[index].health = .suspect }
    }

    private mutating func finish(_ index: Int) {
        self.holders[index].inFlight = max(0, self.holders[index].inFlight - 1)
    }
}
