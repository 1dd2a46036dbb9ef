public import KeyProtocol
public import TLSWire

/// A site as far as names go: what it is served for, and what its certificates would let an edge pose as.
public struct CertifiedSite: Sendable {
    /// What one certificate says.
    public struct Certificate: Sendable {
        /// Its DNS names, whether the site is served for them or not.
        public var names: [ServerNamePattern]
        /// SHA-1 of the subjectPublicKey bit string. What is signed for one site is good for every site with the same key.
        public var ski: [UInt8]

        public init(names: [ServerNamePattern], ski: [UInt8]) {
            self.names = names
            self.ski = ski
        }
    }

    /// How messages call it.
    public var name: String
    public var domains: [ServerNamePattern]
    public var certificates: [Certificate]

    public init(name: String, domains: [ServerNamePattern], certificates: [Certificate]) {
        self.name = name
        self.domains = domains
        self.certificates = certificates
    }
}

/// A name that belongs to one site, and as which an edge could pose with the certificate of another site that it was granted.
///
/// The key holder refuses what an honest edge asks in such a name. An edge that has been taken over asks in a name of the site
/// that it was granted, and shows that site's certificate to clients of the other one.
public struct Impersonation: Hashable, Sendable, CustomStringConvertible {
    public var edge: String
    /// The site that the edge was granted.
    public var granted: String
    /// The name in a certificate that covers the other site's.
    public var pattern: ServerNamePattern
    /// The name of the other site, and that site.
    public var name: ServerNamePattern
    public var owner: String

    public var description: String {
        let cover = self.pattern == self.name ? "" : ", which \(self.pattern) covers"
        return
            "edge \(self.edge) could pose as \(self.name) of the site \(self.owner): the certificate of \(self.granted), "
            + "which it was granted, is good for that name\(cover)"
    }

    /// What to do about one.
    public static let remedy =
        "Give the two sites certificates and keys of their own that cover no name of the other, or take the edge's grant for "
        + "the first; an edge that may see both needs a grant for both."

    /// What one edge was granted for some sites.
    public struct Granted: Sendable {
        public var edge: String
        /// Positions in the list of sites.
        public var sites: [Int]
        public var operations: Set<KeyProtocol.Operation>

        public init(edge: String, sites: [Int], operations: Set<KeyProtocol.Operation>) {
            self.edge = edge
            self.sites = sites
            self.operations = operations
        }

        /// Fetching a public chain, and forwarding what ends at the key holder, let an edge pose as no site.
        var letsPose: Bool { !self.operations.subtracting([.certificate, .native]).isEmpty }
    }

    /// All of them, with the position of the grant that each comes of, in the order of the grants and their sites.
    public static func all(
        of grants: [Granted], sites: [CertifiedSite]
    ) -> [(grant: Int, finding: Impersonation)] {
        let names = Names(sites)
        // An edge that was granted the other site as well poses as nothing that it may not be.
        var held: [String: Set<Int>] = [:]
        for grant in grants where grant.letsPose { held[grant.edge, default: []].formUnion(grant.sites) }
        var findings: [(grant: Int, finding: Impersonation)] = []
        var seen: Set<Impersonation> = []
        for (position, grant) in grants.enumerated() where grant.letsPose {
            for site in grant.sites {
                for (pattern, name, owner) in names.covered(by: site) where held[grant.edge]?.contains(owner) != true {
                    let finding = Impersonation(
                        edge: grant.edge, granted: sites[site].name, pattern: pattern, name: name,
                        owner: sites[owner].name)
                    if seen.insert(finding).inserted { findings.append((position, finding)) }
                }
            }
        }
        return findings
    }

    /// Who owns which name, and what certificates cover.
    private struct Names {
        private let sites: [CertifiedSite]
        private var owners = ServerNameTable<Int>()
        private var wildcards: [ServerNamePattern: Int] = [:]
        /// Exact domains by what follows their first label.
        private var children: [Substring: [(name: ServerNamePattern, owner: Int)]] = [:]
        private var certified: [[UInt8]: [ServerNamePattern]] = [:]

        init(_ sites: [CertifiedSite]) {
            self.sites = sites
            for (index, site) in sites.enumerated() {
                for domain in site.domains {
                    _ = self.owners.insert(index, for: domain)
                    if domain.isWildcard {
                        self.wildcards[domain] = self.wildcards[domain] ?? index
                    } else if let dot = domain.base.rawValue.firstIndex(of: ".") {
                        let parent = domain.base.rawValue[dot...].dropFirst()
                        self.children[parent, default: []].append((domain, index))
                    }
                }
                for certificate in site.certificates {
                    self.certified[certificate.ski, default: []] += certificate.names
                }
            }
        }

        /// Names of other sites that certificates with a site's key are good for.
        func covered(by site: Int) -> [(pattern: ServerNamePattern, name: ServerNamePattern, owner: Int)] {
            var found: [(pattern: ServerNamePattern, name: ServerNamePattern, owner: Int)] = []
            for pattern in self.sites[site].certificates.flatMap({ self.certified[$0.ski] ?? [] }) {
                if pattern.isWildcard {
                    if let owner = self.wildcards[pattern], owner != site { found.append((pattern, pattern, owner)) }
                    for (name, owner) in self.children[pattern.base.rawValue[...]] ?? [] where owner != site {
                        found.append((pattern, name, owner))
                    }
                } else if let owner = self.owners.value(for: pattern.base), owner != site {
                    found.append((pattern, pattern, owner))
                }
            }
            return found
        }
    }
}
