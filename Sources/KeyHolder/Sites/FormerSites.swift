/// Sites as they were before their key was replaced. For a while their keys stay good for clients that were shown their
/// certificate: an edge needs a moment to hear of the new one. Pure; immutable like the policy that it belongs to.
struct FormerSites: Sendable {
    private struct Entry: Sendable {
        let site: Site
        /// Monotonic nanoseconds.
        let until: UInt64
    }

    /// The youngest first.
    private var entries: [Entry] = []

    /// Of one site at once: who replaces keys faster than they run out keeps the last ones.
    static let perSite = 4

    init() {}

    /// - Parameters:
    ///   - former: Those that there were.
    ///   - before: All sites as they were.
    ///   - index: All sites as they are now.
    ///   - grace: How long a key that is replaced now stays good, in nanoseconds; 0 ends all of them at once.
    init(_ former: FormerSites, replacing before: [Site], by index: SiteIndex, grace: UInt64, now: UInt64) {
        guard grace > 0 else { return }
        let (end, overflows) = now.addingReportingOverflow(grace)
        let replaced = before.map { Entry(site: $0, until: overflows ? .max : end) }
        var counts: [ObjectIdentifier: Int] = [:]
        for entry in replaced + former.entries where entry.until > now {
            guard let site = Self.successor(of: entry.site, in: index), site.ski != entry.site.ski,
                !self.entries.contains(where: { $0.site === entry.site })
            else { continue }
            guard counts[ObjectIdentifier(site), default: 0] < Self.perSite else { continue }
            counts[ObjectIdentifier(site), default: 0] += 1
            self.entries.append(Entry(site: entry.site, until: min(entry.until, overflows ? .max : end)))
        }
    }

    /// The site that has all of its domains now: what was granted for the one is granted for the other, and no more.
    private static func successor(of site: Site, in index: SiteIndex) -> Site? {
        guard let first = site.domains.first, let found = index.site(having: first),
            site.domains.allSatisfy({ index.site(having: $0) === found })
        else { return nil }
        return found
    }

    /// The former state of a site whose key has this identifier, if it is still good.
    func site(havingKey ski: [UInt8], before site: Site, in index: SiteIndex, now: UInt64) -> Site? {
        self.entries.first {
            $0.until > now && $0.site.ski == ski && Self.successor(of: $0.site, in: index) === site
        }?.site
    }

    /// What has become of a former site that is still good.
    func successor(of site: Site, in index: SiteIndex, now: UInt64) -> Site? {
        guard self.entries.contains(where: { $0.site === site && $0.until > now }) else { return nil }
        return Self.successor(of: site, in: index)
    }
}
