import Channels
import NIOCore

/// The work of one event loop that takes longer than a packet: signatures made in place, turns of handshakes.
///
/// It is done in slices, between which the loop reads and writes. So however much of it waits, pings are answered, what could
/// not be done in time is refused, and edges get their turns. Where nothing waits, work is done at once.
///
/// Lives on its event loop. ``WorkQueue`` decides; this carries out.
final class LoopWork {
    enum Outcome: Sendable {
        case perform
        /// Its deadline passed while it waited: it is not to be done.
        case drop
    }

    /// Of the loop, before it looks at its sockets again; nanoseconds.
    private static let slice: UInt64 = 2_000_000

    private let eventLoop: any EventLoop
    private var queue = WorkQueue<(Outcome) -> Void>(workers: 1, cost: 100_000)
    private var isScheduled: Bool = false
    private var isRunning: Bool = false
    /// Of the slice that began at `sliceStart`.
    private var spent: UInt64 = 0
    private var sliceStart: UInt64 = 0
    /// That all work has taken so far; nanoseconds.
    private(set) var performed: UInt64 = 0

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// Has a job done at its turn, which may be before this returns. If it is refused, the job is not called.
    func submit(_ owner: WorkOwner, now: UInt64, _ job: @escaping (Outcome) -> Void) -> WorkRefusal? {
        if self.queue.isEmpty, !self.isRunning, !self.isScheduled {
            guard now < owner.deadline else { return .pastDeadline }
            // Work in every other slice at most before there is a look at the sockets.
            if now > self.sliceStart + 2 * Self.slice {
                self.sliceStart = now
                self.spent = 0
            }
            if self.spent < Self.slice {
                self.perform(job, now)
                return nil
            }
        }
        let refusal: WorkRefusal? = self.queue.append(job, of: owner, now: now)
        if refusal == nil { self.schedule() }
        return refusal
    }

    /// Whether work of this owner would be refused.
    func refusal(of owner: WorkOwner, now: UInt64) -> WorkRefusal? {
        self.queue.refusal(of: owner, now: now)
    }

    /// How long a piece of work of this owner would take from now; nanoseconds.
    func estimatedTime(_ owner: WorkOwner) -> UInt64 {
        self.queue.estimatedTime(owner)
    }

    @discardableResult
    private func perform(_ job: (Outcome) -> Void, _ now: UInt64) -> UInt64 {
        self.isRunning = true
        job(.perform)
        self.isRunning = false
        let end: UInt64 = Clock.monotonic()
        self.spent += end - now
        self.performed += end - now
        self.queue.measured(end - now)
        return end
    }

    private func schedule() {
        guard !self.isScheduled else { return }
        self.isScheduled = true
        LoopPause.then(on: self.eventLoop) {
            self.isScheduled = false
            self.run()
        }
    }

    private func run() {
        var now: UInt64 = Clock.monotonic()
        self.sliceStart = now
        self.spent = 0
        while self.spent < Self.slice, let turn = self.queue.popFirst(now: now) {
            switch turn {
            case .perform(let job): now = self.perform(job, now)
            case .drop(let job): job(.drop)
            }
        }
        if !self.queue.isEmpty { self.schedule() }
    }
}
