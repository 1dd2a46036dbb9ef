import KeyProtocol
import NIOCore
import Synchronization
import TLSWire

/// All sites and grants at one time. Immutable; a reload makes a new one.
final class Policy: Sendable {
    let sites: [Site]
    /// When it was made, in seconds since 1970.
    private let wallSeconds: Int64
    let index: SiteIndex
    private let grants: [String: [ObjectIdentifier: Grant]]
    /// The grants as they were configured.
    let configured: [GrantConfiguration]
    /// How long an edge may go on under its grants without hearing from this key holder.
    let lease: TimeAmount
    /// By edge: the serial number of the policy since which its grants are as they are.
    private let generations: [String: UInt64]
    /// 1 for the first policy, one more for each reload.
    private let serial: UInt64
    /// Sites whose key was replaced a moment ago.
    private let former: Mutex<FormerSites>
    /// How long a key that is replaced stays good.
    let grace: TimeAmount
    /// As which names edges could pose without a grant for them.
    let impersonations: [Impersonation]

    /// - Parameters:
    ///   - grace: How long keys that this policy replaces stay good for clients that were shown their certificate; zero: not at
    ///     all, and those that were replaced before no longer either.
    ///   - revokingReplaced: The same for this once.
    ///   - previous: Whose rate limits go on where edge, domain and rate are the same.
    ///   - now: Monotonic nanoseconds.
    ///   - wallSeconds: Seconds since 1970: which certificates edges are told to show, see ``Site/shown(at:)``.
    init(
        sites: [Site], grants: [GrantConfiguration], lease: TimeAmount = .minutes(10), grace: TimeAmount = .minutes(10),
        revokingReplaced: Bool = false, previous: Policy?, now: UInt64, wallSeconds: Int64 = 0
    ) throws(SiteLoadError) {
        var index = SiteIndex()
        for site in sites { try index.insert(site) }
        var table: [String: [ObjectIdentifier: Grant]] = [:]
        let positions = Dictionary(uniqueKeysWithValues: sites.enumerated().map { (ObjectIdentifier($1), $0) })
        var granted: [Impersonation.Granted] = []
        for grant in grants {
            guard (1...1_000_000_000).contains(grant.rate) else {
                throw .badGrant(edge: grant.edge, reason: "the rate is \(grant.rate); use 1 to 1000000000 per second")
            }
            if let rate = grant.rates.values.first(where: { !(1...1_000_000_000).contains($0) }) {
                throw .badGrant(edge: grant.edge, reason: "a rate is \(rate); use 1 to 1000000000 per second")
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
                let stock: Set<KeyProtocol.Operation> = grant.operations.intersection(KeyProtocol.Operation.stock)
                guard stock.isEmpty || !site.credentials.contains(where: \.key.signsHandshakesOnly) else {
                    throw .badGrant(
                        edge: grant.edge,
                        reason:
                            "it has \(stock.map(\.rawValue).sorted().joined(separator: ", ")) for \(domain), which has a key on a token that signs handshakes only; remove that"
                    )
                }
                guard table[grant.edge]?[ObjectIdentifier(site)] == nil else {
                    throw .duplicateGrant(edge: grant.edge, name: domain.description)
                }
                let kept: Grant? = previous.flatMap { previous in
                    previous.index.site(having: domain).flatMap { previous.grant(to: grant.edge, for: $0) }
                }
                table[grant.edge, default: [:]][ObjectIdentifier(site)] = try Grant(
                    site: site, operations: grant.operations, rate: grant.rate, rates: grant.rates, previous: kept,
                    now: now, wallSeconds: wallSeconds)
            }
            granted.append(
                Impersonation.Granted(
                    edge: grant.edge, sites: named.compactMap { positions[$0] }.sorted(), operations: grant.operations))
        }
        self.sites = sites
        self.wallSeconds = wallSeconds
        self.index = index
        self.grants = table
        self.configured = grants
        self.lease = lease
        self.grace = grace
        self.former = Mutex(
            FormerSites(
                previous?.former.withLock { $0 } ?? FormerSites(), replacing: previous?.sitesWithEdges ?? [],
                by: index,
                grace: revokingReplaced ? 0 : UInt64(max(0, grace.nanoseconds)), now: now))
        let serial: UInt64 = (previous?.serial ?? 0) + 1
        self.serial = serial
        self.generations = table.reduce(into: [:]) { generations, entry in
            let kept: UInt64? = previous.flatMap {
                $0.lease == lease && $0.hasSame(entry.value.values, of: entry.key) ? $0.generations[entry.key] : nil
            }
            generations[entry.key] = kept ?? serial
        }
        self.impersonations = Impersonation.all(of: granted, sites: sites.map(\.certifiedNames)).map(\.finding)
    }

    /// Whether the edge has any grant. Without one it may not even stay connected.
    func knows(edge: String) -> Bool {
        self.grants[edge] != nil
    }

    /// Another number whenever a grant of the edge's came, went or changed, or the certificate of a site that it was granted.
    /// Nil: the edge has no grant.
    func generation(of edge: String) -> UInt64? {
        self.generations[edge]
    }

    /// Whether the edge's grants were the same here, each for a site with the same domains and certificate.
    private func hasSame(_ grants: some Collection<Grant>, of edge: String) -> Bool {
        guard self.grants[edge]?.count == grants.count else { return false }
        return grants.allSatisfy { grant in
            grant.site.domains.first.flatMap { self.index.site(having: $0) }
                .flatMap { self.grant(to: edge, for: $0) }?.isSame(as: grant) ?? false
        }
    }

    func grant(to edge: String, for site: Site) -> Grant? {
        self.grants[edge]?[ObjectIdentifier(site)]
    }

    /// Whether the edge may still do all of `needs` for the site, which may be of an earlier policy: after a reload it is
    /// another object, if it is still there. One whose key was replaced counts for what has become of it, for a while.
    ///
    /// - Parameters:
    ///   - credential: The site's, whose key is to be used; nil: it is not known yet, so it must hold for each of them.
    ///   - now: Monotonic nanoseconds.
    func stillGrants(
        _ site: Site, by credential: SiteCredential? = nil, to edge: String, _ needs: [KeyProtocol.Operation],
        now: UInt64
    ) -> Bool {
        func grants(_ candidate: Site) -> Bool {
            guard let grant = self.grant(to: edge, for: candidate) else { return false }
            return needs.allSatisfy(grant.allows)
        }
        // It is of this policy.
        if grants(site) { return true }
        return (credential.map { [$0] } ?? site.credentials).allSatisfy { credential in
            let keyed = KeyedSite(site: site, credential: credential)
            return self.index.sites(havingKey: credential.ski).contains { grants($0.site) }
                || self.former.withLock { $0.successor(of: keyed, for: edge, in: self.index, now: now) }.map(grants)
                    ?? false
        }
    }

    /// A credential that a site had before it was replaced, if a key with this identifier is still good for it
    /// and for the edge.
    func former(_ site: Site, havingKey ski: [UInt8], for edge: String, now: UInt64) -> KeyedSite? {
        self.former.withLock { $0.credential(havingKey: ski, before: site, for: edge, in: self.index, now: now) }
    }

    /// Whether edges are to be told to show other certificates: one has begun or ceased to be valid.
    ///
    /// - Parameter wallSeconds: Seconds since 1970.
    func showsOthers(at wallSeconds: Int64) -> Bool {
        self.sites.contains { $0.credentials.count > 1 && $0.shown(at: wallSeconds) != $0.shown(at: self.wallSeconds) }
    }

    /// Drops keys that were replaced and whose time is over.
    func pruneFormer(now: UInt64) { self.former.withLock { if !$0.isEmpty { $0.prune(now: now) } } }

    private var sitesWithEdges: [(site: Site, edges: FormerSites.Edges)] {
        self.sites.map { site in
            var edges = FormerSites.Edges()
            for (edge, grants) in self.grants {
                guard let grant = grants[ObjectIdentifier(site)] else { continue }
                edges.all.insert(edge)
                if grant.allows(.signTLS13) { edges.signing.insert(edge) }
            }
            return (site, edges)
        }
    }

    /// Pairs of sites with one key: a signature made for one is good for the other.
    var sitesSharingKeys: [(Site, Site)] {
        var first: [[UInt8]: Site] = [:]
        var pairs: [(Site, Site)] = []
        for site in self.sites {
            for credential in site.credentials {
                if let other = first[credential.ski] {
                    pairs.append((other, site))
                } else {
                    first[credential.ski] = site
                }
            }
        }
        return pairs
    }
}
