public import KeyProtocol
public import TLSWire

/// One certificate of a site and its key, as the configuration names them.
public struct CertificateConfiguration: Hashable, Sendable {
    /// The certificate chain, leaf first.
    public var chain: PEMSource
    public var key: KeySource

    public init(chain: PEMSource, key: KeySource) {
        self.chain = chain
        self.key = key
    }
}

/// A site as the configuration names it.
public struct SiteConfiguration: Hashable, Sendable {
    /// Preferred first: a client is shown the first one that it can verify. 1 to 8, each with a key of its own.
    public var certificates: [CertificateConfiguration]
    /// What it is served for; nil: the DNS names of the first certificate.
    public var domains: [ServerNamePattern]?
    /// Whether domains that the certificates do not cover are served all the same, since one that does is on its way.
    public var coversLater = false
    /// How edges may serve it, as far as their grants allow.
    public var modes: Set<TrustMode>
    public var handshakes: HandshakeSettings
    /// What native clients reach; nil: the site does not serve the native handshake.
    public var application: ApplicationConfiguration?

    public init(
        certificates: [CertificateConfiguration], domains: [ServerNamePattern]? = nil,
        modes: Set<TrustMode> = [.handoff, .keyless], handshakes: HandshakeSettings = HandshakeSettings(),
        application: ApplicationConfiguration? = nil
    ) {
        self.certificates = certificates
        self.domains = domains
        self.modes = modes
        self.handshakes = handshakes
        self.application = application
    }

    /// With one certificate.
    public init(
        chain: PEMSource, key: KeySource, domains: [ServerNamePattern]? = nil,
        modes: Set<TrustMode> = [.handoff, .keyless], handshakes: HandshakeSettings = HandshakeSettings(),
        application: ApplicationConfiguration? = nil
    ) {
        self.init(
            certificates: [CertificateConfiguration(chain: chain, key: key)], domains: domains, modes: modes,
            handshakes: handshakes, application: application)
    }
}

/// A site whose chains and keys have been loaded and found to belong together.
final class Site: Sendable {
    /// The first domain: how logs and audit lines call the site.
    let name: String
    let domains: [ServerNamePattern]
    /// Preferred first; at least one, each with another key.
    let credentials: [SiteCredential]
    let modes: Set<TrustMode>
    let handoff: SiteHandoff
    /// nil: the site does not serve the native handshake.
    let native: NativeSite?
    /// Places of the certificates that clients may be shown: placeholders only where there is nothing else.
    private let candidates: [Int]
    /// From when to when all of these are valid; seconds since 1970.
    private let allValid: (from: Int64, to: Int64)

    /// - Parameters:
    ///   - credentials: At least one.
    ///   - handoff: Where it is not a new one, that of the same credentials.
    init(
        domains: [ServerNamePattern], credentials: [SiteCredential], modes: Set<TrustMode>,
        handoff: SiteHandoff? = nil, native: NativeSite? = nil
    ) {
        self.name = domains.first?.description ?? ""
        self.domains = domains
        self.credentials = credentials
        self.modes = modes
        self.handoff =
            handoff
            ?? SiteHandoff(tickets: SiteTickets(site: Self.sharedName(domains)), credentials: credentials)
        self.native = native
        let issued = credentials.indices.filter { !credentials[$0].isPlaceholder }
        self.candidates = issued.isEmpty ? Array(credentials.indices) : issued
        let shown = self.candidates.map { credentials[$0] }
        self.allValid = (from: shown.map(\.notBefore).max() ?? 0, to: shown.map(\.notAfter).min() ?? 0)
    }

    /// What key holders that serve the same domains call the site, in whatever order they name them.
    static func sharedName(_ domains: [ServerNamePattern]) -> String {
        domains.map(\.description).min() ?? ""
    }

    /// For messages.
    var chainName: String { self.credentials.first?.chainName ?? "" }

    func credential(havingKey ski: [UInt8]) -> SiteCredential? { self.credentials.first { $0.ski == ski } }

    /// Whether any of its certificates is valid still.
    ///
    /// - Parameter time: Seconds since 1970.
    func isInForce(at time: Int64) -> Bool {
        time <= self.allValid.to || self.credentials.contains { time <= $0.notAfter }
    }

    /// Which certificates clients are shown at this time: those that are valid. If none is, those that will be, since clocks differ.
    ///
    /// - Parameter time: Seconds since 1970.
    func shown(at time: Int64) -> CredentialSet {
        guard time < self.allValid.from || time > self.allValid.to else {
            return CredentialSet(self.candidates)
        }
        let places = self.candidates
        let valid = places.filter { self.credentials[$0].notBefore <= time && time <= self.credentials[$0].notAfter }
        guard valid.isEmpty else { return CredentialSet(valid) }
        let coming = places.filter { time <= self.credentials[$0].notAfter }
        return CredentialSet(coming.isEmpty ? places : coming)
    }

    /// How audit lines call a certificate; nil: the site has no other.
    func fingerprint(of credential: SiteCredential?) -> String? {
        self.credentials.count > 1 ? credential?.fingerprint : nil
    }

    var certifiedNames: CertifiedSite {
        CertifiedSite(
            name: self.name, domains: self.domains,
            certificates: self.credentials.map { .init(names: $0.certified, ski: $0.ski) })
    }
}

/// A site, and the one of its credentials that is meant.
struct KeyedSite: Sendable {
    let site: Site
    let credential: SiteCredential

    var key: any StoredKey { self.credential.key }
}
