import NIOCore

/// Which of several places is tried next, and for how long: each has its share of the time that is left. Pure.
struct DialPlan<Target: CustomStringConvertible> {
    enum Step {
        case connect(Target, until: NIODeadline)
        /// The deadline has passed; what the place before had to say.
        case timeout(String?)
        /// No place is left; what the last one had to say.
        case refused(String)
    }

    private var left: ArraySlice<Target>
    private let deadline: NIODeadline
    private var lastFailure: String?

    init(_ targets: [Target], deadline: NIODeadline) {
        self.left = targets[...]
        self.deadline = deadline
    }

    mutating func next(now: NIODeadline) -> Step {
        let time = self.deadline - now
        guard let target = self.left.first else { return .refused(self.lastFailure ?? "no address is configured") }
        guard time > .zero else { return .timeout(self.lastFailure) }
        let share = TimeAmount.nanoseconds(max(1_000_000, time.nanoseconds / Int64(self.left.count)))
        self.left.removeFirst()
        return .connect(target, until: now + share)
    }

    mutating func failed(_ target: Target, _ reason: String) {
        self.lastFailure = "\(target): \(reason)"
    }

    /// The place's time is over.
    mutating func timedOut(_ target: Target, now: NIODeadline) -> Step {
        if self.left.isEmpty { return .timeout(self.lastFailure) }
        self.failed(target, "no connection in time")
        return self.next(now: now)
    }
}
