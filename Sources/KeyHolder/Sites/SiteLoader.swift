import Crypto
import SwiftASN1
import TLSWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads a site's chains and keys, and checks that they can serve clients together.
struct SiteLoader {
    var store: any KeyStore
    /// Of the sites before a reload: those whose certificate and key stay the same keep their session tickets.
    var previous: SiteIndex?
    /// The one certificate that is read; nil: all are. The others are taken over from the site before, where it has them.
    var renewed: CertificateConfiguration?

    static let maximumChainLength: Int = 10

    /// Chain order and signatures, the keys, and the domains are checked. Validity in time and trust in the root are not:
    /// those are the clients' business, and change without a reload.
    func load(_ configuration: SiteConfiguration) throws(SiteLoadError) -> Site {
        var credentials: [SiteCredential] = []
        for certificate in configuration.certificates {
            let credential: SiteCredential
            if let inUse = self.inUse(certificate, configuration) {
                credential = inUse
            } else {
                credential = try self.credential(certificate, mayBePlaceholder: configuration.coversLater)
            }
            if let other = credentials.first(where: { $0.ski == credential.ski }) {
                throw .sameKey(other.chainName, credential.chainName)
            }
            credentials.append(credential)
        }
        guard let first = credentials.first else { throw .noCertificate }
        let domains = try self.domains(configuration, of: credentials)
        try Self.check(configuration, credentials)
        let native: NativeSite? = try configuration.application.map { application throws(SiteLoadError) in
            try NativeSite(application, credentials: credentials, chainName: first.chainName)
        }
        return Site(
            domains: domains, credentials: credentials, modes: configuration.modes,
            handoff: try self.handoff(named: domains, credentials, settings: configuration.handshakes), native: native)
    }

    /// A certificate that is not to be read anew.
    private func inUse(_ certificate: CertificateConfiguration, _ site: SiteConfiguration) -> SiteCredential? {
        guard let renewed = self.renewed, certificate != renewed else { return nil }
        let before: Site? = site.domains?.lazy.compactMap { self.previous?.site(having: $0) }.first
        return before?.credentials.first {
            $0.chainName == certificate.chain.name && $0.keySource == certificate.key
        }
    }

    /// - Parameter mayBePlaceholder: One that issued itself waits for the authority's.
    private func credential(
        _ certificate: CertificateConfiguration, mayBePlaceholder: Bool
    ) throws(SiteLoadError) -> SiteCredential {
        let chainName: String = certificate.chain.name
        let chain: [Certificate] = try Self.chain(from: certificate.chain)
        guard let leaf = chain.first else { throw .notPEM(chainName, "certificate chain") }
        let key: any StoredKey = try self.store.key(from: certificate.key, for: leaf.publicKey)
        guard key.publicKey == leaf.publicKey else {
            throw .keyMismatch(certificate: chainName, key: certificate.key.name)
        }
        let der: [[UInt8]]
        do { der = try chain.map(Self.der) } catch { throw .unreadableCertificate(chainName, position: 1) }
        return SiteCredential(
            chain: der, ski: Array(Insecure.SHA1.hash(data: leaf.publicKey.subjectPublicKeyInfoBytes)),
            certificateDigest: Array(SHA256.hash(data: der[0])), key: key, keySource: certificate.key,
            certified: try Self.names(of: leaf, chainName),
            notBefore: Int64(leaf.notValidBefore.timeIntervalSince1970),
            notAfter: Int64(leaf.notValidAfter.timeIntervalSince1970),
            lacksIntermediate: ChainOrder.lacksIntermediate(chain),
            isPlaceholder: mayBePlaceholder && leaf.issuer == leaf.subject, chainName: chainName)
    }

    /// What the handshakes and native clients ask of the keys.
    private static func check(
        _ configuration: SiteConfiguration, _ credentials: [SiteCredential]
    ) throws(SiteLoadError) {
        let chainName: String = credentials.first?.chainName ?? ""
        if let problem = configuration.handshakes.problem(with: credentials.map(\.key.type)) {
            throw .handshakes(chainName, problem)
        }
        if configuration.handshakes.allowsRSAKeyExchange {
            let keys = zip(configuration.certificates, credentials).filter { $1.key.type.isRSA }
            guard let (certificate, _) = keys.first else { throw .rsaKeyExchangeNeedsRSA(chainName) }
            guard keys.contains(where: { $1.key.privateKeyInfo() != nil }) else {
                throw .rsaKeyExchangeNeedsKeyHere(certificate.key.name)
            }
        }
        guard configuration.application == nil || !credentials.allSatisfy(\.key.signsHandshakesOnly) else {
            throw .token(
                configuration.certificates.first?.key.name ?? "",
                reason: "such a key does not decrypt, so it serves no native clients; remove application from its site")
        }
    }

    /// That of the site which had one of these domains before, if it is still good. Its tickets stay good where a key has only moved.
    private func handoff(
        named domains: [ServerNamePattern], _ credentials: [SiteCredential], settings: HandshakeSettings
    ) throws(SiteLoadError) -> SiteHandoff {
        let before: SiteHandoff? = domains.lazy.compactMap { self.previous?.site(having: $0) }.first { site in
            site.handoff.serves(credentials)
        }?.handoff
        let name: String = Site.sharedName(domains)
        let tickets: SiteTickets
        if let kept = before?.tickets, kept.site == name, kept.file == settings.ticketKeys {
            try kept.reread()
            tickets = kept
        } else if let file = settings.ticketKeys {
            tickets = try SiteTickets(site: name, sharedIn: file)
        } else {
            tickets = SiteTickets(site: name)
        }
        if let before, before.tickets === tickets, before.settings == settings, before.hasKeys(of: credentials) {
            return before
        }
        return SiteHandoff(tickets: tickets, credentials: credentials, settings: settings)
    }

    private static func chain(from source: PEMSource) throws(SiteLoadError) -> [Certificate] {
        let text: String = try source.text()
        guard let documents = try? PEMDocument.parseMultiple(pemString: text) else {
            throw .notPEM(source.name, "certificate chain")
        }
        let certificates: [PEMDocument] = documents.filter { $0.discriminator == Certificate.defaultPEMDiscriminator }
        guard !certificates.isEmpty else { throw .notPEM(source.name, "certificate chain") }
        guard certificates.count <= Self.maximumChainLength else { throw .chainTooLong(source.name) }
        var chain: [Certificate] = []
        for (index, document) in certificates.enumerated() {
            guard let certificate = try? Certificate(pemDocument: document) else {
                throw .unreadableCertificate(source.name, position: index + 1)
            }
            if let previous = chain.last {
                guard previous.issuer == certificate.subject,
                    certificate.publicKey.isValidSignature(previous.signature, for: previous)
                else { throw Self.disorder(of: certificates, source.name, position: index + 1) }
            }
            chain.append(certificate)
        }
        return chain
    }

    /// What is wrong with a chain whose certificate at this place did not issue the one before it.
    private static func disorder(of documents: [PEMDocument], _ name: String, position: Int) -> SiteLoadError {
        let chain = documents.compactMap { try? Certificate(pemDocument: $0) }
        if let leaf = ChainOrder.misplacedLeaf(in: chain) { return .leafNotFirst(name, position: leaf) }
        return .brokenChain(name, position: position)
    }

    /// The DNS names of a certificate.
    private static func names(of leaf: Certificate, _ chainName: String) throws(SiteLoadError) -> [ServerNamePattern] {
        var covered: [ServerNamePattern] = []
        var firstBad: SiteLoadError?
        let names: SubjectAlternativeNames? = try? leaf.extensions.subjectAlternativeNames
        for case .dnsName(let name) in names ?? SubjectAlternativeNames([]) {
            do throws(ServerNameError) {
                let pattern = try ServerNamePattern(name)
                if !covered.contains(pattern) { covered.append(pattern) }
            } catch {
                firstBad = firstBad ?? .badName(chainName, name: name, reason: "\(error)")
            }
        }
        if covered.isEmpty, let firstBad { throw firstBad }
        return covered
    }

    /// What the site is served for: each of its certificates covers all of it.
    private func domains(
        _ configuration: SiteConfiguration, of credentials: [SiteCredential]
    ) throws(SiteLoadError) -> [ServerNamePattern] {
        let domains: [ServerNamePattern] = configuration.domains ?? credentials.first?.certified ?? []
        guard !domains.isEmpty else { throw .noNames(credentials.first?.chainName ?? "") }
        guard !configuration.coversLater else { return domains }
        for credential in credentials {
            let covered: [ServerNamePattern] = credential.certified
            for domain in domains where !covered.contains(domain) {
                guard !domain.isWildcard, covered.contains(where: { $0.matches(domain.base) }) else {
                    throw .nameNotCovered(credential.chainName, name: domain.description)
                }
            }
        }
        return domains
    }

    private static func der(_ certificate: Certificate) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try certificate.serialize(into: &serializer)
        return serializer.serializedBytes
    }
}
