import EdgeModel
import EdgeTLS
import TLSWire

/// Which exact names lie under a wildcard of another site: `secret.example.com` of one under `*.example.com` of another.
///
/// The exact name wins wherever a client names a site, in its ClientHello (``SiteTable``) as well as in each request.
struct NameOwnership {
    private var names: [Int: Set<ServerName>] = [:]

    /// - Parameter sites: all sites of the edge, in `relay` mode too.
    init(_ sites: [Site]) {
        var wildcards = ServerNameTable<Int>()
        for (index, site) in sites.enumerated() {
            for domain in site.domains where domain.isWildcard { _ = wildcards.insert(index, for: domain) }
        }
        for (index, site) in sites.enumerated() {
            for domain in site.domains where !domain.isWildcard {
                guard let owner = wildcards.value(for: domain.base), owner != index else { continue }
                self.names[owner, default: []].insert(domain.base)
            }
        }
    }

    /// The names that this site's wildcards match but other sites own.
    func namesOfOthers(underSite index: Int) -> Set<ServerName> {
        self.names[index] ?? []
    }
}
