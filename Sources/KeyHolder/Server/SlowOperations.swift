import NIOCore
import NIOPosix
import Synchronization

/// What a key gave.
typealias KeyResult = Result<[UInt8], KeyOperationError>

/// What became of work that was not done in place, such as a key operation.
enum SlowOutcome<Value: Sendable>: Sendable {
    case done(Value)
    /// The edge does not wait for it any more, it is not allowed any more, or the key holder stops.
    case notDone
    /// Its deadline passed while it waited.
    case pastDeadline
}

/// Operations that are not done in place: bounded for each edge, and taken in the order of ``WorkQueue``.
///
/// Without the bound one edge could hold all room for audit lines; without the order, all threads. An operation in place
/// does not come by here.
final class SlowOperations: Sendable {
    enum Turn: Sendable {
        case perform
        /// Past its deadline.
        case drop
        /// The threads are shutting down: there is nothing to be done but to say so.
        case end
    }

    typealias Job = @Sendable (Turn) -> Void

    private struct State {
        var underWay: [String: Int] = [:]
        var total: Int = 0
    }

    /// Threads, and the order in which they take what waits for them.
    private final class Lane: Sendable {
        let threads: NIOThreadPool
        let queue: Mutex<WorkQueue<Job>>

        init(threads: Int, cost: UInt64) {
            self.threads = NIOThreadPool(numberOfThreads: threads)
            self.queue = Mutex(WorkQueue(workers: threads, cost: cost))
        }
    }

    private let perEdge: Int
    private let limit: Int
    private let processors: Lane
    /// For keys on devices: where one does not answer, other keys' operations go on. nil: there are no such keys.
    private let devices: Lane?
    private let state = Mutex(State())

    /// - Parameters:
    ///   - perEdge: Operations of one edge under way at once, on all its connections.
    ///   - limit: The same for all edges.
    ///   - threads: For work of the processor's.
    ///   - deviceThreads: For waits for devices.
    init(perEdge: Int, limit: Int, threads: Int, deviceThreads: Int = 0) {
        self.perEdge = perEdge
        self.limit = limit
        self.processors = Lane(threads: threads, cost: 1_000_000)
        self.devices = deviceThreads > 0 ? Lane(threads: deviceThreads, cost: 5_000_000) : nil
    }

    func start() {
        self.processors.threads.start()
        self.devices?.threads.start()
    }

    private func lane(_ cost: KeyOperationCost) -> Lane {
        switch cost {
        case .inPlace, .offload: self.processors
        case .device: self.devices ?? self.processors
        }
    }

    /// Makes room for an operation of the edge; ``end(_:)`` gives it back. False: the edge, or all of them, have too many.
    func begin(_ edge: String) -> Bool {
        self.state.withLock { state in
            let count: Int = state.underWay[edge, default: 0]
            guard count < self.perEdge, state.total < self.limit else { return false }
            state.underWay[edge] = count + 1
            state.total += 1
            return true
        }
    }

    /// Operations under way.
    var total: Int { self.state.withLock { $0.total } }

    func end(_ edge: String) {
        self.state.withLock { state in
            let left: Int = state.underWay[edge, default: 1] - 1
            state.underWay[edge] = left > 0 ? left : nil
            state.total -= 1
        }
    }

    /// Whether an operation of this owner that came here after `delay` nanoseconds would be refused.
    func refusal(
        of owner: WorkOwner, _ cost: KeyOperationCost, now: UInt64, after delay: UInt64
    ) -> WorkRefusal? {
        self.lane(cost).queue.withLock { $0.refusal(of: owner, now: now + delay) }
    }

    /// Has a thread do the job when its turn comes. If it is refused, the job is not called.
    func submit(_ owner: WorkOwner, _ cost: KeyOperationCost, now: UInt64, _ job: @escaping Job) -> WorkRefusal? {
        let lane: Lane = self.lane(cost)
        if let refusal = lane.queue.withLock({ $0.append(job, of: owner, now: now) }) { return refusal }
        // One turn for each job, whichever it is then.
        lane.threads.submit { state in
            let begin: UInt64 = Clock.monotonic()
            guard let turn = lane.queue.withLock({ $0.popFirst(now: begin) }) else { return }
            switch (turn, state) {
            case (.perform(let job), .active):
                job(.perform)
                let taken: UInt64 = Clock.monotonic() - begin
                lane.queue.withLock { $0.measured(taken) }
            case (.drop(let job), .active): job(.drop)
            case (.perform(let job), .cancelled), (.drop(let job), .cancelled): job(.end)
            }
        }
        return nil
    }

    func shutDown() async {
        try? await self.processors.threads.shutdownGracefully()
        try? await self.devices?.threads.shutdownGracefully()
    }
}
