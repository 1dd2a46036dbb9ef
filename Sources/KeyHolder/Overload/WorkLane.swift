import Dispatch
import NIOPosix
import Synchronization

/// Threads, and the order in which they take what waits for them.
final class WorkLane: Sendable {
    enum Turn: Sendable {
        case perform
        /// Past its deadline.
        case drop
        /// The threads are shutting down: there is nothing to be done but to say so.
        case end
    }

    typealias Job = @Sendable (Turn) -> Void

    private let threads: NIOThreadPool
    private let queue: Mutex<WorkQueue<Job>>

    /// - Parameter cost: What a job takes, until some were measured; nanoseconds.
    init(threads: Int, cost: UInt64) {
        self.threads = NIOThreadPool(numberOfThreads: threads)
        self.queue = Mutex(WorkQueue(workers: threads, cost: cost))
    }

    func start() { self.threads.start() }

    /// Why a job of this owner would be refused that came at `now`.
    func refusal(of owner: WorkOwner, now: UInt64) -> WorkRefusal? {
        self.queue.withLock { $0.refusal(of: owner, now: now) }
    }

    /// Has a thread do the job when its turn comes. If it is refused, the job is not called.
    func submit(_ owner: WorkOwner, now: UInt64, _ job: @escaping Job) -> WorkRefusal? {
        if let refusal = self.queue.withLock({ $0.append(job, of: owner, now: now) }) { return refusal }
        // One turn for each job, whichever it is then.
        self.threads.submit { state in
            let begin: UInt64 = Clock.monotonic()
            guard let turn = self.queue.withLock({ $0.popFirst(now: begin) }) else { return }
            switch (turn, state) {
            case (.perform(let job), .active):
                job(.perform)
                let taken: UInt64 = Clock.monotonic() - begin
                self.queue.withLock { $0.measured(taken) }
            case (.drop(let job), .active): job(.drop)
            case (.perform(let job), .cancelled), (.drop(let job), .cancelled): job(.end)
            }
        }
        return nil
    }

    /// What waits is ended; what is being done is waited for, `patience` nanoseconds at most.
    ///
    /// - Returns: Whether it was done by then. If not, its threads end when they can.
    func shutDown(patience: UInt64) async -> Bool {
        await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            let answer = OneAnswer(continuation)
            self.threads.shutdownGracefully { _ in answer.give(true) }
            DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(patience))) { answer.give(false) }
        }
    }

    /// The same, without a wait. Nothing is to be under way.
    func discard() { self.threads.shutdownGracefully { _ in } }
}
