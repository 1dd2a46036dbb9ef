import NIOCore

/// Whether a request's body comes fast enough: no long silence, and no trickle that goes on for hours. Pure; time is an
/// argument.
struct RequestPace {
    private let timeout: TimeAmount
    private let minimumRate: Int
    private let start: NIODeadline
    private var bytes = 0

    init(timeout: TimeAmount, minimumRate: Int, now: NIODeadline) {
        self.timeout = timeout
        self.minimumRate = minimumRate
        self.start = now
    }

    mutating func received(_ count: Int) {
        self.bytes += count
    }

    /// By when more has to arrive, if the last of it arrived at `now`: the timeout after it, yet not later than the bytes so
    /// far have bought.
    func deadline(now: NIODeadline) -> NIODeadline {
        let silence = now + self.timeout
        guard self.minimumRate > 0 else { return silence }
        // Beyond a day it makes no difference, and the sum can't overflow.
        let bought = min(Int64(self.bytes / self.minimumRate), 86_400)
        return min(silence, self.start + self.timeout + .seconds(bought))
    }
}
