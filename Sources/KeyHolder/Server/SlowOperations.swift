import NIOCore
import NIOPosix
import Synchronization

/// Operations that are not done in place: bounded for each edge, and taken in turns between edges.
///
/// Without the bound one edge could hold all room for audit lines; without the turns, all threads. An operation in place
/// does not come by here.
final class SlowOperations: Sendable {
    /// `active` is false if the threads are shutting down: then there is nothing to be done but to say so.
    typealias Job = @Sendable (_ active: Bool) -> Void

    private struct State {
        var underWay: [String: Int] = [:]
        var total: Int = 0
        var queue = TurnQueue<Job>()
    }

    private let perEdge: Int
    private let limit: Int
    private let threads: NIOThreadPool
    private let state = Mutex(State())

    /// - Parameters:
    ///   - perEdge: Operations of one edge under way at once, on all its connections.
    ///   - limit: The same for all edges.
    init(perEdge: Int, limit: Int, threads: Int) {
        self.perEdge = perEdge
        self.limit = limit
        self.threads = NIOThreadPool(numberOfThreads: threads)
    }

    func start() {
        self.threads.start()
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

    func end(_ edge: String) {
        self.state.withLock { state in
            let left: Int = state.underWay[edge, default: 1] - 1
            state.underWay[edge] = left > 0 ? left : nil
            state.total -= 1
        }
    }

    /// Has a thread do the job when it is the edge's turn.
    func submit(of edge: String, _ job: @escaping Job) {
        self.state.withLock { $0.queue.append(job, of: edge) }
        // One turn for each job, whosever it is then.
        self.threads.submit { state in
            let next: Job? = self.state.withLock { $0.queue.popFirst() }
            if case .active = state { next?(true) } else { next?(false) }
        }
    }

    func shutDown() async {
        try? await self.threads.shutdownGracefully()
    }
}

/// A queue in which owners take turns: each owner's elements come in their order, but whoever has many waiting delays nobody
/// else by more than one element for each.
struct TurnQueue<Element> {
    private var waiting: [String: CircularBuffer<Element>] = [:]
    /// Who has something waiting, in the order of turns.
    private var turns = CircularBuffer<String>()

    init() {}

    mutating func append(_ element: Element, of owner: String) {
        if self.waiting[owner] == nil { self.turns.append(owner) }
        self.waiting[owner, default: CircularBuffer()].append(element)
    }

    mutating func popFirst() -> Element? {
        guard let owner = self.turns.popFirst(), let element = self.waiting[owner]?.popFirst() else { return nil }
        if self.waiting[owner]?.isEmpty ?? true {
            self.waiting[owner] = nil
        } else {
            self.turns.append(owner)
        }
        return element
    }
}
