import NIOConcurrencyHelpers
import TLSWire

/// Which domains of terminated sites are leased by their key holder: what the health check of an edge asks.
public final class EdgeReadiness: Sendable {
    private let missing = NIOLockedValueBox<[String: String]>([:])
    private let refusing = NIOLockedValueBox<Set<String>>([])

    public init() {}

    /// What cannot be served now, each with the reason: by domain, and `key holder NAME` where this edge has no lease at all.
    public var problems: [String: String] { self.missing.withLockedValue { $0 } }

    /// Names of key holders that have no grant for this edge, as they say.
    public var revokedBy: Set<String> { self.refusing.withLockedValue { $0 } }

    func expects(_ pattern: ServerNamePattern) { self.note(pattern.description, "no lease yet") }

    func heard(_ pattern: ServerNamePattern, _ news: SiteNews) {
        switch news {
        case .pending: self.note(pattern.description, "no lease yet")
        case .served: self.note(pattern.description, nil)
        case .ended(let end): self.note(pattern.description, end.description)
        }
    }

    /// Nil: the key holder gives this edge a lease.
    func heard(_ keyHolder: String, _ end: LeaseEnd?) {
        self.note("key holder \(keyHolder)", end?.description)
        self.refusing.withLockedValue { names in
            if end?.reason == .noGrant { names.insert(keyHolder) } else { names.remove(keyHolder) }
        }
    }

    private func note(_ what: String, _ problem: String?) {
        self.missing.withLockedValue { $0[what] = problem }
    }
}
