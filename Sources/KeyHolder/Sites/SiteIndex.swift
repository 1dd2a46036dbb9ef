import KeyProtocol
import TLSWire

/// How a request names the site it is about.
struct SiteQuery: Equatable, Sendable {
    var serverName: String?
    var ski: [UInt8]?
    var certificateDigest: [UInt8]?
}

/// Finds sites by the ways in which requests name them: server name, subject key identifier, certificate digest.
///
/// A name means the same site whichever edge asks: an exact domain beats a wildcard of another site even for an edge that was
/// granted the latter only. Such an edge learns that the name has a site of its own; the wildcard's certificate would be the
/// wrong one to show for it.
struct SiteIndex: Sendable {
    private var names = ServerNameTable<Site>()
    private var patterns: [ServerNamePattern: Site] = [:]
    /// Several sites may share a key, and then a key identifier.
    private var skis: [[UInt8]: [KeyedSite]] = [:]
    private var digests: [[UInt8]: KeyedSite] = [:]

    init() {}

    /// - Throws: ``SiteLoadError/duplicateName(_:first:second:)``.
    mutating func insert(_ site: Site) throws(SiteLoadError) {
        for domain in site.domains {
            if let other = self.patterns[domain] {
                throw .duplicateName(domain.description, first: other.chainName, second: site.chainName)
            }
            self.patterns[domain] = site
            _ = self.names.insert(site, for: domain)
        }
        for credential in site.credentials {
            let keyed = KeyedSite(site: site, credential: credential)
            self.skis[credential.ski, default: []].append(keyed)
            if self.digests[credential.certificateDigest] == nil { self.digests[credential.certificateDigest] = keyed }
        }
    }

    /// The site that has exactly this domain in its list.
    func site(having domain: ServerNamePattern) -> Site? {
        self.patterns[domain]
    }

    /// What our own edges ask: by server name alone.
    func site(byName query: SiteQuery) -> Site? {
        guard let text = query.serverName, let name = try? ServerName(text) else { return nil }
        return self.names.value(for: name)
    }

    /// Those that have a key with this identifier.
    func sites(havingKey ski: [UInt8]) -> [KeyedSite] { self.skis[ski] ?? [] }

    /// What stock peers ask: by key identifier, else by certificate digest, else by server name. Several sites if they
    /// share the key; several credentials of one if it is asked for by name.
    func keyed(by query: SiteQuery) -> [KeyedSite] {
        if let ski = query.ski { return self.sites(havingKey: ski) }
        if let digest = query.certificateDigest { return self.digests[digest].map { [$0] } ?? [] }
        guard let site = self.site(byName: query) else { return [] }
        return site.credentials.map { KeyedSite(site: site, credential: $0) }
    }
}
