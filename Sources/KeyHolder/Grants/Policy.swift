import KeyProtocol
import TLSWire

/// All sites and grants at one time. Immutable; a reload makes a new one.
final class Policy: Sendable {
    let sites: [Site]
    let index: SiteIndex
    private let grants: [String: [ObjectIdentifier: Grant]]

    /// - Parameters:
    ///   - previous: Whose rate limits go on where edge, domain and rate are the same.
    ///   - now: Monotonic nanoseconds.
    init(
        sites: [Site], grants: [GrantConfiguration], previous: Policy?, now: UInt64
    ) throws(SiteLoadError) {
        var index = SiteIndex()
        for site in sites { try index.insert(site) }
        var table: [String: [ObjectIdentifier: Grant]] = [:]
        for grant in grants {
            guard (1...1_000_000_000).contains(grant.rate) else {
                throw .badGrant(edge: grant.edge, reason: "the rate is \(grant.rate); use 1 to 1000000000 per second")
            }
            guard !grant.operations.isEmpty else {
                throw .badGrant(edge: grant.edge, reason: "it names no operations; remove it or name some")
            }
            var named: Set<ObjectIdentifier> = []
            for domain in grant.sites {
                guard let site = index.site(having: domain) else {
                    throw .grantForUnknownSite(edge: grant.edge, name: domain.description)
                }
                guard named.insert(ObjectIdentifier(site)).inserted else { continue }
                guard table[grant.edge]?[ObjectIdentifier(site)] == nil else {
                    throw .duplicateGrant(edge: grant.edge, name: domain.description)
                }
                let kept: Grant? = previous.flatMap { previous in
                    previous.index.site(having: domain).flatMap { previous.grant(to: grant.edge, for: $0) }
                }
                table[grant.edge, default: [:]][ObjectIdentifier(site)] = try Grant(
                    site: site, operations: grant.operations, rate: grant.rate, previous: kept, now: now)
            }
        }
        self.sites = sites
        self.index = index
        self.grants = table
    }

    /// Whether the edge has any grant. Without one it may not even stay connected.
    func knows(edge: String) -> Bool {
        self.grants[edge] != nil
    }

    func grant(to edge: String, for site: Site) -> Grant? {
        self.grants[edge]?[ObjectIdentifier(site)]
    }

    /// Whether the edge may still do all of `needs` for the site, which may be of an earlier policy: after a reload it is
    /// another object, if it is still there.
    func stillGrants(_ site: Site, to edge: String, _ needs: [KeyProtocol.Operation]) -> Bool {
        self.index.sites(byKey: SiteQuery(ski: site.ski)).contains { candidate in
            guard let grant = self.grant(to: edge, for: candidate) else { return false }
            return needs.allSatisfy(grant.allows)
        }
    }

    /// Pairs of sites with one key: a signature made for one is good for the other.
    var sitesSharingKeys: [(Site, Site)] {
        var first: [[UInt8]: Site] = [:]
        var pairs: [(Site, Site)] = []
        for site in self.sites {
            if let other = first[site.ski] { pairs.append((other, site)) } else { first[site.ski] = site }
        }
        return pairs
    }
}
