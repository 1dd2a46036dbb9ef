import NIOConcurrencyHelpers
import TLSWire

/// Which domains of terminated sites are leased by their key holder: what the health check of an edge asks. After a reload, what the
/// generation before hears counts no more.
public final class EdgeReadiness: Sendable {
    private struct Generation {
        var domains: Set<String> = []
        var missing: [String: String] = [:]
        /// Of those: nothing was heard yet.
        var pending: Set<String> = []
        var refusing: Set<String> = []
    }

    private struct State {
        var current = 0
        var generations: [Int: Generation] = [:]
    }

    private static let noLeaseYet = "no lease yet"

    private let state = NIOLockedValueBox(State())

    public init() {}

    private func now<Value>(_ read: (Generation) -> Value) -> Value {
        self.state.withLockedValue { read($0.generations[$0.current] ?? Generation()) }
    }

    /// What cannot be served now, each with the reason: by domain, and `key holder NAME` where this edge has no lease at all.
    public var problems: [String: String] { self.now { $0.missing } }

    /// Names of key holders that have no grant for this edge, as they say.
    public var revokedBy: Set<String> { self.now { $0.refusing } }

    /// A generation has begun to ask for leases of these domains.
    func begin(_ generation: Int, expecting domains: [ServerNamePattern]) {
        let names = domains.map(\.description)
        let missing = Dictionary(names.map { ($0, Self.noLeaseYet) }) { first, _ in first }
        self.state.withLockedValue {
            $0.generations[generation] = Generation(
                domains: Set(names), missing: missing, pending: Set(names))
        }
    }

    /// What a generation hears is what counts from now on.
    func becomesCurrent(_ generation: Int) {
        self.state.withLockedValue { state in
            state.current = generation
            state.generations = state.generations.filter { $0.key == generation }
        }
    }

    /// Nothing came of a generation.
    func forget(_ generation: Int) { self.state.withLockedValue { $0.generations[generation] = nil } }

    /// Domains that are served now, and of which a new generation has heard nothing yet.
    func awaited(by generation: Int) -> Set<String> {
        self.state.withLockedValue { state in
            let current = state.generations[state.current] ?? Generation()
            let served = current.domains.filter { current.missing[$0] == nil }
            return served.intersection(state.generations[generation]?.pending ?? [])
        }
    }

    /// Domains of which a generation has heard nothing yet.
    func pending(in generation: Int) -> Set<String> {
        self.state.withLockedValue { $0.generations[generation]?.pending ?? [] }
    }

    func heard(_ pattern: ServerNamePattern, _ news: SiteNews, in generation: Int) {
        let name = pattern.description
        self.change(generation) { known in
            switch news {
            case .pending: (known.missing[name], known.pending) = (Self.noLeaseYet, known.pending.union([name]))
            case .served: (known.missing[name], known.pending) = (nil, known.pending.subtracting([name]))
            case .ended(let end):
                (known.missing[name], known.pending) = (end.description, known.pending.subtracting([name]))
            }
        }
    }

    /// Nil: the key holder gives this edge a lease.
    func heard(_ keyHolder: String, _ end: LeaseEnd?, in generation: Int) {
        self.change(generation) { known in
            known.missing["key holder \(keyHolder)"] = end?.description
            if end?.reason == .noGrant { known.refusing.insert(keyHolder) } else { known.refusing.remove(keyHolder) }
        }
    }

    private func change(_ generation: Int, _ body: (inout Generation) -> Void) {
        self.state.withLockedValue { state in
            guard var known = state.generations[generation] else { return }
            body(&known)
            state.generations[generation] = known
        }
    }
}
