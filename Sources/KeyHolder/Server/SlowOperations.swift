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
    private struct State {
        var underWay: [String: Int] = [:]
        var total: Int = 0
    }

    /// How long ``shutDown(patience:)`` waits for what is being done; nanoseconds.
    static let patience: UInt64 = 5_000_000_000

    private let perEdge: Int
    private let limit: Int
    private let processors: WorkLane
    private let devices = DeviceLanes()
    private let state = Mutex(State())

    /// - Parameters:
    ///   - perEdge: Operations of one edge under way at once, on all its connections.
    ///   - limit: The same for all edges.
    ///   - threads: For work of the processor's.
    init(perEdge: Int, limit: Int, threads: Int) {
        self.perEdge = perEdge
        self.limit = limit
        self.processors = WorkLane(threads: threads, cost: 1_000_000)
    }

    func start() { self.processors.start() }

    private func lane(_ cost: KeyOperationCost) -> WorkLane {
        switch cost {
        case .inPlace, .offload: self.processors
        case .device(let device): self.devices.lane(of: device)
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
        self.lane(cost).refusal(of: owner, now: now + delay)
    }

    /// Has a thread do the job when its turn comes. If it is refused, the job is not called.
    func submit(_ owner: WorkOwner, _ cost: KeyOperationCost, now: UInt64, _ job: @escaping WorkLane.Job)
        -> WorkRefusal?
    {
        self.lane(cost).submit(owner, now: now, job)
    }

    /// What waits is ended; what is being done is waited for, ``patience`` at most: a device that does not answer holds up no end.
    ///
    /// - Returns: Whether all of it was done by then.
    @discardableResult
    func shutDown(patience: UInt64 = SlowOperations.patience) async -> Bool {
        async let computed: Bool = self.processors.shutDown(patience: patience)
        async let answered: Bool = self.devices.shutDown(patience: patience)
        let (isComputed, isAnswered) = await (computed, answered)
        return isComputed && isAnswered
    }
}
