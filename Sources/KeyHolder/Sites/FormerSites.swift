/// Credentials that sites had before they were replaced. For a while their keys stay good for clients that were shown the
/// certificate: an edge needs a moment to hear of the new one. Pure.
///
/// A key serves the edges that had it before, under the grants that they have now. It is not kept where another site has it now.
struct FormerSites: Sendable {
    private struct Entry: Sendable {
        /// As it was.
        let site: Site
        let credential: SiteCredential
        let edges: Edges
        /// Monotonic nanoseconds.
        let until: UInt64
        /// Rises with each time that keys are replaced.
        let turn: Int
    }

    /// Who could have a key used when it was the present one.
    struct Edges: Sendable {
        /// To sign handshakes of TLS 1.3 that they make themselves.
        var signing: Set<String> = []
        /// In any way.
        var all: Set<String> = []
    }

    /// By the key's identifier, the youngest first.
    private var entries: [[UInt8]: [Entry]] = [:]
    private var turn = 0

    /// Credentials of one site at once, the last ones. An edge hears of a change within a second; more than so many in that time are
    /// none that an owner makes.
    static let perSite = 32

    init() {}

    /// - Parameters:
    ///   - former: Those that there were.
    ///   - before: All sites as they were, each with the edges that could have its key used.
    ///   - index: All sites as they are now.
    ///   - grace: How long a key that is replaced now stays good, in nanoseconds; 0 ends all of them at once.
    init(
        _ former: FormerSites, replacing before: [(site: Site, edges: Edges)], by index: SiteIndex, grace: UInt64,
        now: UInt64
    ) {
        guard grace > 0 else { return }
        let turn = former.turn + 1
        self.turn = turn
        let (sum, overflows) = now.addingReportingOverflow(grace)
        let end: UInt64 = overflows ? .max : sum
        let older = former.entries.values.joined().sorted { $0.turn > $1.turn }
        var counts: [ObjectIdentifier: Int] = [:]
        let replaced = before.flatMap { before in
            before.site.credentials.map {
                Entry(site: before.site, credential: $0, edges: before.edges, until: end, turn: turn)
            }
        }
        for entry in replaced + older where entry.until > now {
            let ski = entry.credential.ski
            guard let site = Self.successor(of: entry.site, in: index), index.sites(havingKey: ski).isEmpty,
                self.entries[ski]?.contains(where: { $0.site.domains == entry.site.domains }) != true
            else { continue }
            guard counts[ObjectIdentifier(site), default: 0] < Self.perSite else { continue }
            counts[ObjectIdentifier(site), default: 0] += 1
            self.entries[ski, default: []].append(
                Entry(
                    site: entry.site, credential: entry.credential, edges: entry.edges, until: min(entry.until, end),
                    turn: entry.turn))
        }
    }

    var isEmpty: Bool { self.entries.isEmpty }

    /// Without those whose time is over, so that their keys do not stay in memory.
    mutating func prune(now: UInt64) {
        for (ski, list) in self.entries where list.contains(where: { $0.until <= now }) {
            let left = list.filter { $0.until > now }
            self.entries[ski] = left.isEmpty ? nil : left
        }
    }

    /// The site that has all of its domains now.
    private static func successor(of site: Site, in index: SiteIndex) -> Site? {
        guard let first = site.domains.first, let found = index.site(having: first),
            site.domains.allSatisfy({ index.site(having: $0) === found })
        else { return nil }
        return found
    }

    /// The former credential of a site whose key has this identifier, if it is still good for the edge.
    func credential(
        havingKey ski: [UInt8], before site: Site, for edge: String, in index: SiteIndex, now: UInt64
    ) -> KeyedSite? {
        let entry = self.entries[ski]?.first {
            $0.until > now && $0.edges.signing.contains(edge) && Self.successor(of: $0.site, in: index) === site
        }
        return entry.map { KeyedSite(site: $0.site, credential: $0.credential) }
    }

    /// What has become of a site that had a credential which is still good for the edge.
    func successor(of site: KeyedSite, for edge: String, in index: SiteIndex, now: UInt64) -> Site? {
        let entry = self.entries[site.credential.ski]?.first {
            $0.until > now && $0.site.domains == site.site.domains && $0.edges.all.contains(edge)
        }
        return entry.flatMap { Self.successor(of: $0.site, in: index) }
    }
}
