import Synchronization

/// What each edge did, since the key holder was started, and when it was seen last.
///
/// Only edges that have, or had, a grant come in here, and only operations that there are, so it is bounded by the configuration.
final class EdgeUsage: Sendable {
    struct Entry: Sendable {
        /// By operation, as audit lines call it.
        var done: [String: Int] = [:]
        var refused: [String: Int] = [:]
        /// Milliseconds since 1970 UTC.
        var seen: Int64 = 0
    }

    private let entries = Mutex<[String: Entry]>([:])

    /// An edge with a grant has connected.
    func connected(_ edge: String, time: Int64) {
        self.entries.withLock { $0[edge, default: Entry()].seen = time }
    }

    func concluded(_ edge: String, _ operation: String, isDone: Bool, time: Int64) {
        self.entries.withLock { entries in
            guard var entry = entries.removeValue(forKey: edge) else { return }
            if isDone { entry.done[operation, default: 0] += 1 } else { entry.refused[operation, default: 0] += 1 }
            entry.seen = time
            entries[edge] = entry
        }
    }

    subscript(_ edge: String) -> Entry? { self.entries.withLock { $0[edge] } }
}

/// A grant, and what its edge does with it.
public struct GrantStatus: Sendable {
    public enum State: String, Sendable {
        case inForce = "in force"
        /// Its hours or days are not now, or its end has come.
        case notNow = "not now"
        case revoked
    }

    public var grant: GrantConfiguration
    public var state: State
    /// Connections of the edge now.
    public var connections: Int
    /// When the edge was seen last; milliseconds since 1970 UTC. nil: not since the start.
    public var seen: Int64?
    /// Operations of the edge since the start, by name, for all its grants.
    public var done: [String: Int]
    public var refused: [String: Int]
}
