import EdgeHTTP
import EdgeTLS
import NIOConcurrencyHelpers
import PeerLink
import TLSWire

/// Which domains of terminated sites are leased by their key holder, and whether that can be reached: what the health check of an edge asks. After a reload, what the
/// generation before hears counts no more.
public final class EdgeReadiness: Sendable {
    private struct Generation {
        var domains: Set<String> = []
        var missing: [String: String] = [:]
        /// Of those: nothing was heard yet.
        var pending: Set<String> = []
        var refusing: Set<String> = []
        var sites: [SiteFacts] = []
        /// Key holders that are connected.
        var connected: Set<String> = []
        /// How the addresses of each key holder are.
        var addresses: [String: [AddressHealth]] = [:]
        /// When certificates end, by domain, in seconds since 1970.
        var notAfter: [String: Int64] = [:]
        /// Why no OCSP response is shown, by domain.
        var stapleProblems: [String: [String]] = [:]

        func serves(_ domain: String) -> Bool { self.domains.contains(domain) && self.missing[domain] == nil }
    }

    private struct State {
        var current = 0
        var generations: [Int: Generation] = [:]
        var isStopping = false

        var now: Generation { self.generations[self.current] ?? Generation() }
    }

    private static let noLeaseYet = "no lease yet"

    private let state = NIOLockedValueBox(State())

    public init() {}

    private func now<Value>(_ read: (Generation) -> Value) -> Value {
        self.state.withLockedValue { read($0.now) }
    }

    /// What cannot be served now, each with the reason: by domain, and `key holder NAME` where this edge has no lease at all.
    public var problems: [String: String] { self.now { $0.missing } }

    /// Names of key holders that have no grant for this edge, as they say.
    public var revokedBy: Set<String> { self.now { $0.refusing } }

    /// The edge takes no more clients, and ends when those it has are through.
    public var isStopping: Bool { self.state.withLockedValue { $0.isStopping } }

    func stops() { self.state.withLockedValue { $0.isStopping = true } }

    /// A generation has begun to ask for leases of these domains.
    func begin(_ generation: Int, expecting domains: [ServerNamePattern], sites: [SiteFacts] = []) {
        let names = domains.map(\.description)
        let missing = Dictionary(names.map { ($0, Self.noLeaseYet) }) { first, _ in first }
        self.state.withLockedValue {
            $0.generations[generation] = Generation(
                domains: Set(names), missing: missing, pending: Set(names), sites: sites)
        }
    }

    /// What a generation hears is what counts from now on.
    func becomesCurrent(_ generation: Int) {
        self.state.withLockedValue { state in
            state.current = generation
            state.generations = state.generations.filter { $0.key == generation }
        }
    }

    /// Domains that are served now.
    var served: Set<String> { self.now { known in known.domains.filter { known.serves($0) } } }

    /// Another process serves these domains until a generation of this one becomes current.
    func assume(_ domains: Set<String>) {
        self.state.withLockedValue { $0.generations[$0.current] = Generation(domains: domains) }
    }

    /// Nothing came of a generation.
    func forget(_ generation: Int) { self.state.withLockedValue { $0.generations[generation] = nil } }

    /// Domains that are served now, and of which a new generation has heard nothing yet.
    func awaited(by generation: Int) -> Set<String> {
        self.state.withLockedValue { state in
            let current = state.now
            return (state.generations[generation]?.pending ?? []).filter(current.serves)
        }
    }

    /// Whether a generation has heard of all its domains, and nothing bad of any that is served now: of a key holder with several
    /// addresses the next one may say another thing.
    func isSettled(_ generation: Int) -> Bool {
        self.state.withLockedValue { state in
            guard let known = state.generations[generation], known.pending.isEmpty else { return false }
            let current = state.now
            return known.domains.allSatisfy { known.serves($0) || !current.serves($0) }
        }
    }

    func heard(_ pattern: ServerNamePattern, _ news: SiteNews, in generation: Int) {
        let name = pattern.description
        self.state.withLockedValue { state in
            switch news {
            case .pending(let problem):
                state.generations[generation]?.missing[name] =
                    Self.noLeaseYet + (problem.map { ": \($0)" } ?? "")
                state.generations[generation]?.pending.insert(name)
            case .served(let served):
                state.generations[generation]?.missing[name] = nil
                state.generations[generation]?.notAfter[name] = served.notAfter
                state.generations[generation]?.stapleProblems[name] = served.stapleProblems
                state.generations[generation]?.pending.remove(name)
            case .ended(let end):
                state.generations[generation]?.missing[name] = end.description
                state.generations[generation]?.pending.remove(name)
            }
        }
    }

    /// A link to a key holder was made, or the last one is lost.
    func heard(_ keyHolder: String, isConnected: Bool, in generation: Int) {
        self.state.withLockedValue { state in
            if isConnected {
                state.generations[generation]?.connected.insert(keyHolder)
            } else {
                state.generations[generation]?.connected.remove(keyHolder)
            }
        }
    }

    /// The state of an address of a key holder has changed, or its latency was measured.
    func heard(_ keyHolder: String, _ addresses: [AddressHealth], in generation: Int) {
        self.state.withLockedValue { $0.generations[generation]?.addresses[keyHolder] = addresses }
    }

    /// How each site is, in the configuration's order.
    ///
    /// - Parameter now: seconds since 1970 UTC.
    public func sites(at now: Int64) -> [SiteHealth] {
        let known = self.now { $0 }
        return known.sites.map { site in
            var health = SiteHealth(
                name: site.name, mode: site.mode, domains: site.domains, problems: [], origin: site.origin())
            guard let keyHolder = site.keyHolder else { return health }
            let isConnected = known.connected.contains(keyHolder)
            health.keyHolder = .init(
                name: keyHolder, isConnected: isConnected, addresses: known.addresses[keyHolder] ?? [])
            health.notAfter = site.domains.compactMap { known.notAfter[$0] }.min()
            health.stapleProblems = site.domains.flatMap { domain in
                (known.stapleProblems[domain] ?? []).map { "\(domain): \($0)" }
            }
            if !isConnected { health.problems.append("there is no link to the key holder \(keyHolder)") }
            for domain in site.domains {
                // A site is called by its first domain.
                let subject = domain == site.name ? "" : "\(domain): "
                if let reason = known.missing[domain] {
                    health.problems.append(subject + reason)
                } else if let notAfter = known.notAfter[domain], notAfter <= now {
                    health.problems.append("\(subject)its certificate has expired")
                }
            }
            return health
        }
    }

    /// Nil: the key holder gives this edge a lease.
    func heard(_ keyHolder: String, _ end: LeaseEnd?, in generation: Int) {
        self.state.withLockedValue { state in
            state.generations[generation]?.missing["key holder \(keyHolder)"] = end?.description
            if end?.reason == .noGrant {
                state.generations[generation]?.refusing.insert(keyHolder)
            } else {
                state.generations[generation]?.refusing.remove(keyHolder)
            }
        }
    }
}
