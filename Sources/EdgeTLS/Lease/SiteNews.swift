/// What all event loops are told of one domain.
package enum SiteNews: Sendable {
    /// Nothing is known of its lease yet. The problem: why the last fetch of the certificate brought none; nil: none has failed.
    case pending(problem: String?)
    /// It may be served, and this is what it takes.
    case served(ServedDomain)
    case ended(LeaseEnd)

    package var rate: Int? { if case .served(let served) = self { served.rate } else { nil } }
}

/// What it takes to serve a domain.
package struct ServedDomain: Sendable {
    /// Nil in `handoff` mode, where the edge shows no certificate.
    package var certificate: SiteCertificate?
    /// Addresses of the key holder that do not lease it.
    package var excluded: Set<Int>
    /// By a chain's key identifier: addresses that have it. Others may sign for it as long as they keep keys that were replaced.
    package var holders: [[UInt8]: Set<Int>] = [:]
    /// Signatures and handshakes per second that each of the others grants for the site.
    package var rate: Int
    /// When the first of its certificates ends, in seconds since 1970 UTC; nil: unknown.
    package var notAfter: Int64? = nil
    /// Why clients that ask for an OCSP response get none; empty: they get it, or none is configured.
    package var stapleProblems: [String] = []

    /// Whether a handshake would be signed in the same way.
    package func isSigned(like other: ServedDomain) -> Bool {
        self.certificate?.context === other.certificate?.context && self.excluded == other.excluded
            && self.holders == other.holders
    }
}
