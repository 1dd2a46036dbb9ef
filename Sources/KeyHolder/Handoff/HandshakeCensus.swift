import Synchronization

/// Counts TLS handshakes with clients, for each edge and in all, and bounds them.
final class HandshakeCensus: Sendable {
    private struct State {
        var perEdge: [String: Int] = [:]
        var total: Int = 0
    }

    private let perEdge: Int
    private let limit: Int
    private let state = Mutex(State())

    init(perEdge: Int, limit: Int) {
        self.perEdge = perEdge
        self.limit = limit
    }

    /// Makes room for a handshake; ``end(_:)`` gives it back. Nil: the edge, or all of them, have too many.
    ///
    /// - Returns: How many there are now, in all.
    func begin(_ edge: String) -> Int? {
        self.state.withLock { state in
            let count: Int = state.perEdge[edge, default: 0]
            guard count < self.perEdge, state.total < self.limit else { return nil }
            state.perEdge[edge] = count + 1
            state.total += 1
            return state.total
        }
    }

    /// - Returns: How many are left, in all.
    func end(_ edge: String) -> Int {
        self.state.withLock { state in
            let left: Int = state.perEdge[edge, default: 1] - 1
            state.perEdge[edge] = left > 0 ? left : nil
            state.total -= 1
            return state.total
        }
    }
}
