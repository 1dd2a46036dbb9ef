import KeyProtocol

/// What to make in a certificate directory.
public struct CertificateOrder: Sendable {
    /// One test site: the domains of its certificate, the first of which names its files, and the type of its key.
    public struct Site: Sendable, Equatable {
        public var domains: [String]
        public var keyType: SiteKeyType

        public init(domains: [String], keyType: SiteKeyType = .p256) {
            self.domains = domains
            self.keyType = keyType
        }

        /// What its files are called, without `.pem` and `.key`.
        public var fileStem: String { FileStem.site(self) }

        /// Reads `www.example.test`, `www.example.test,example.test` or `www.example.test:rsa-2048`.
        public init(argument: String) throws(CertificateOrderError) {
            let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            self.domains = parts[0].split(separator: ",", omittingEmptySubsequences: false).map { String($0) }
            self.keyType = .p256
            if parts.count == 2 {
                guard let type = SiteKeyType(rawValue: String(parts[1])) else {
                    throw .unknownKeyType(String(parts[1]))
                }
                self.keyType = type
            }
        }
    }

    public var edges: [String]
    public var keyHolders: [String]
    public var sites: [Site]
    /// The common name of a fleet authority that has to be made.
    public var authorityName: String
    /// How long what is made shall count, in days. An identity or site never outlives its authority.
    public var authorityDays: Int
    public var identityDays: Int
    public var siteDays: Int

    public static let daysBounds: ClosedRange<Int> = 1...7300

    /// Defaults: an authority for ten years, identities for two, test sites for 90 days.
    public init(
        edges: [String] = [], keyHolders: [String] = [], sites: [Site] = [],
        authorityName: String = "Latchstring fleet authority",
        authorityDays: Int = 3650, identityDays: Int = 730, siteDays: Int = 90
    ) {
        self.edges = edges
        self.keyHolders = keyHolders
        self.sites = sites
        self.authorityName = authorityName
        self.authorityDays = authorityDays
        self.identityDays = identityDays
        self.siteDays = siteDays
    }

    /// Edges first.
    var identities: [(role: IdentityRole, name: String)] {
        self.edges.map { (IdentityRole.edge, $0) } + self.keyHolders.map { (IdentityRole.keyholder, $0) }
    }

    /// A test site authority is needed only for sites, a fleet authority unless sites are all that is asked for.
    var needsFleetAuthority: Bool { !edges.isEmpty || !keyHolders.isEmpty || sites.isEmpty }

    var needsRSAAuthority: Bool { sites.contains { $0.keyType == .rsa2048 } }

    /// Names and numbers are sound, and no two things would be written to the same file.
    func validate() throws(CertificateOrderError) {
        for days in [authorityDays, identityDays, siteDays] where !Self.daysBounds.contains(days) {
            throw .daysOutOfBounds(days)
        }
        var stems: Set<String> = [
            FileStem.fleetAuthority, FileStem.testSiteAuthority, FileStem.rsaTestSiteAuthority,
        ]
        for name in edges + keyHolders where !PartyName.isLegal(name) {
            throw .name(.invalidName(name))
        }
        for site in sites {
            for domain in site.domains where !TestSiteAuthority.isDomain(domain) {
                throw .name(.invalidDomain(domain))
            }
            // Otherwise a site could take the file names of a party's identity.
            if let first = site.domains.first, first.hasPrefix("edge-") || first.hasPrefix("keyholder-") {
                throw .reservedName(first)
            }
        }
        for stem in edges.map(FileStem.edge) + keyHolders.map(FileStem.keyHolder) + sites.map(FileStem.site) {
            guard stems.insert(stem).inserted else { throw .twice(stem) }
        }
    }
}

/// File names without `.pem` or `.key`.
enum FileStem {
    static let fleetAuthority = "authority"
    static let testSiteAuthority = "test-site-authority"
    static let rsaTestSiteAuthority = "test-site-authority-rsa"

    static func edge(_ name: String) -> String { "edge-\(name)" }
    static func keyHolder(_ name: String) -> String { "keyholder-\(name)" }

    /// An asterisk in a file name would be expanded by shells.
    static func site(_ site: CertificateOrder.Site) -> String {
        let first = site.domains.first ?? ""
        return first.hasPrefix("*.") ? "wildcard\(first.dropFirst())" : first
    }
}

/// Why an order can't be carried out as it stands. The description names the remedy.
public enum CertificateOrderError: Error, Equatable, CustomStringConvertible {
    case unknownKeyType(String)
    case daysOutOfBounds(Int)
    case name(AuthorityError)
    case reservedName(String)
    case twice(String)

    public var description: String {
        switch self {
        case .unknownKeyType(let text):
            "\(String(reflecting: String(text.prefix(80)))) is not a key type: use "
                + SiteKeyType.allCases.map(\.rawValue).joined(separator: ", ")
        case .daysOutOfBounds(let days):
            "\(days) days is out of bounds: use \(CertificateOrder.daysBounds.lowerBound) to "
                + "\(CertificateOrder.daysBounds.upperBound)"
        case .name(let error):
            error.description
        case .reservedName(let name):
            "a site's first domain can't begin with \"edge-\" or \"keyholder-\", since identities' files are named so: "
                + "put another domain before \(name)"
        case .twice(let stem):
            "two things would be written to \(stem).pem: name each only once"
        }
    }
}
