public import FleetBus

/// How far a fleet is with the orders of one purge.
public struct OrderProgress: Equatable, Sendable {
    public enum Answer: Equatable, Sendable {
        /// All orders are done; milliseconds since the first was written.
        case done(Int64)
        case refused(RefusalReason)
        case silent
    }

    public struct Edge: Equatable, Sendable {
        public var name: String
        public var standing: FleetCensus.Standing
        public var answer: Answer
        /// The purge does not end before it has answered: it is alive, or it is expected.
        public var isAwaited: Bool
    }

    struct Order: Equatable {
        var entry: PurgeEntry
        var mark: [UInt8]
        var id: StreamID
    }

    /// In the order of their names.
    public private(set) var edges: [Edge] = []
    private var orders: [Order] = []
    private var answers: [String: [EdgeAcknowledgement.Verdict]] = [:]
    /// Milliseconds on a monotonic clock.
    private let start: Int64

    init(start: Int64) {
        self.start = start
    }

    mutating func ordered(_ order: Order) { self.orders.append(order) }

    /// Whom the orders are for.
    mutating func expect(_ census: FleetCensus, expected: [String]) {
        for edge in census.edges {
            let isAwaited = edge.standing == .alive || expected.contains(edge.name)
            if let index = self.edges.firstIndex(where: { $0.name == edge.name }) {
                self.edges[index].standing = edge.standing
                // One that ends meanwhile is not waited for any more, nor is one that comes: it is told of all the same.
                self.edges[index].isAwaited = self.edges[index].isAwaited && isAwaited
            } else {
                self.edges.append(
                    Edge(name: edge.name, standing: edge.standing, answer: .silent, isAwaited: isAwaited))
            }
        }
        self.edges.sort { $0.name < $1.name }
    }

    /// - Returns: whether it is news.
    mutating func heard(_ acknowledgement: EdgeAcknowledgement, at now: Int64) -> Bool {
        let name = acknowledgement.edge
        var answers = self.answers[name] ?? Array(repeating: .silent, count: self.orders.count)
        for (index, order) in self.orders.enumerated() where answers[index] == .silent {
            answers[index] = acknowledgement.verdict(on: order.entry, mark: order.mark, at: order.id)
        }
        self.answers[name] = answers
        var answer = Answer.silent
        for verdict in answers {
            if case .refused(let reason) = verdict { answer = .refused(reason) }
        }
        if answers.allSatisfy({ $0 == .done }) { answer = .done(now - self.start) }
        guard answer != .silent else { return false }
        if let index = self.edges.firstIndex(where: { $0.name == name }) {
            guard self.edges[index].answer == .silent else { return false }
            self.edges[index].answer = answer
        } else {
            self.edges.append(Edge(name: name, standing: .alive, answer: answer, isAwaited: false))
            self.edges.sort { $0.name < $1.name }
        }
        return true
    }

    /// Every edge that is waited for has answered.
    public var isComplete: Bool { self.edges.allSatisfy { !$0.isAwaited || $0.answer != .silent } }

    /// Those that did it.
    public var done: [Edge] {
        self.edges.filter { if case .done = $0.answer { true } else { false } }
    }

    /// Some edge did it, none refused it, and none that is alive, late or expected has been silent.
    public func isSuccess(expected: [String]) -> Bool {
        guard !self.done.isEmpty else { return false }
        return self.edges.allSatisfy { edge in
            switch edge.answer {
            case .done: true
            case .refused: false
            case .silent: edge.standing == .gone && !expected.contains(edge.name)
            }
        }
    }
}
