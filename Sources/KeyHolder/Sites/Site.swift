public import KeyProtocol
public import TLSWire

/// A site as the configuration names it.
public struct SiteConfiguration: Hashable, Sendable {
    /// The certificate chain, leaf first.
    public var chain: PEMSource
    public var key: KeySource
    /// What it is served for; nil: the DNS names of the certificate.
    public var domains: [ServerNamePattern]?
    /// Whether domains that the certificate does not cover are served all the same, since one that does is on its way.
    public var coversLater = false
    /// How edges may serve it, as far as their grants allow.
    public var modes: Set<TrustMode>
    public var handshakes: HandshakeSettings
    /// What native clients reach; nil: the site does not serve the native handshake.
    public var application: ApplicationConfiguration?

    public init(
        chain: PEMSource, key: KeySource, domains: [ServerNamePattern]? = nil,
        modes: Set<TrustMode> = [.handoff, .keyless], handshakes: HandshakeSettings = HandshakeSettings(),
        application: ApplicationConfiguration? = nil
    ) {
        self.chain = chain
        self.key = key
        self.domains = domains
        self.modes = modes
        self.handshakes = handshakes
        self.application = application
    }
}

/// A site whose chain and key have been loaded and found to belong together.
final class Site: Sendable {
    /// The first domain: how logs and audit lines call the site.
    let name: String
    let domains: [ServerNamePattern]
    /// The DNS names of the certificate, whether the site is served for them or not.
    let certified: [ServerNamePattern]
    /// DER, leaf first.
    let chain: [[UInt8]]
    /// SHA-1 of the leaf's subjectPublicKey bit string; 20 bytes.
    let ski: [UInt8]
    /// SHA-256 of the leaf; 32 bytes.
    let certificateDigest: [UInt8]
    let key: any StoredKey
    let modes: Set<TrustMode>
    let handoff: SiteHandoff
    /// nil: the site does not serve the native handshake.
    let native: NativeSite?
    /// Seconds since 1970.
    let notAfter: Int64
    /// Clients will miss the issuer's certificate.
    let lacksIntermediate: Bool
    /// For messages.
    let chainName: String

    /// - Parameters:
    ///   - certified: the certificate's names, if they are more than `domains`.
    ///   - handoff: Where it is not a new one, that of the same certificate and key.
    init(
        domains: [ServerNamePattern], certified: [ServerNamePattern]? = nil, chain: [[UInt8]], ski: [UInt8],
        certificateDigest: [UInt8],
        key: any StoredKey, modes: Set<TrustMode>, handoff: SiteHandoff? = nil, native: NativeSite? = nil,
        notAfter: Int64, chainName: String, lacksIntermediate: Bool = false
    ) {
        self.name = domains.first?.description ?? ""
        self.domains = domains
        self.certified = certified ?? domains
        self.chain = chain
        self.ski = ski
        self.certificateDigest = certificateDigest
        self.key = key
        self.modes = modes
        self.handoff =
            handoff ?? SiteHandoff(tickets: SiteTickets(site: Self.sharedName(domains)), chain: chain, key: key)
        self.native = native
        self.notAfter = notAfter
        self.lacksIntermediate = lacksIntermediate
        self.chainName = chainName
    }

    /// What key holders that serve the same domains call the site, in whatever order they name them.
    static func sharedName(_ domains: [ServerNamePattern]) -> String {
        domains.map(\.description).min() ?? ""
    }

    var certifiedNames: CertifiedSite {
        CertifiedSite(name: self.name, domains: self.domains, certified: self.certified, ski: self.ski)
    }
}
