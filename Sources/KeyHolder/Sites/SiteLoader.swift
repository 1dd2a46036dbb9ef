import Crypto
import SwiftASN1
import TLSWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads a site's chain and key, and checks that they can serve clients together.
struct SiteLoader {
    var store: any KeyStore
    /// Of the sites before a reload: those whose certificate and key stay the same keep their session tickets.
    var previous: SiteIndex?

    static let maximumChainLength: Int = 10

    /// Chain order and signatures, the key, and the domains are checked. Validity in time and trust in the root are not:
    /// those are the clients' business, and change without a reload.
    func load(_ configuration: SiteConfiguration) throws(SiteLoadError) -> Site {
        let chainName: String = configuration.chain.name
        let chain: [Certificate] = try Self.chain(from: configuration.chain)
        guard let leaf = chain.first else { throw .notPEM(chainName, "certificate chain") }
        let key: any StoredKey = try self.store.key(from: configuration.key, for: leaf.publicKey)
        guard key.publicKey == leaf.publicKey else {
            throw .keyMismatch(certificate: chainName, key: configuration.key.name)
        }
        let (domains, certified) = try Self.domains(
            configuration.domains, of: leaf, chainName, coversLater: configuration.coversLater)
        let der: [[UInt8]]
        do { der = try chain.map(Self.der) } catch { throw .unreadableCertificate(chainName, position: 1) }
        if let problem = configuration.handshakes.problem(with: key.type) { throw .handshakes(chainName, problem) }
        guard key.type.isRSA || !configuration.handshakes.allowsRSAKeyExchange else {
            throw .rsaKeyExchangeNeedsRSA(chainName)
        }
        guard !configuration.handshakes.allowsRSAKeyExchange || key.privateKeyInfo() != nil else {
            throw .rsaKeyExchangeNeedsKeyHere(configuration.key.name)
        }
        guard configuration.application == nil || !key.signsHandshakesOnly else {
            throw .token(
                configuration.key.name,
                reason: "such a key does not decrypt, so it serves no native clients; remove application from its site")
        }
        let ski: [UInt8] = Array(Insecure.SHA1.hash(data: leaf.publicKey.subjectPublicKeyInfoBytes))
        let native: NativeSite? = try configuration.application.map { application throws(SiteLoadError) in
            try NativeSite(application, chain: der, key: key.type, chainName: chainName)
        }
        return Site(
            domains: domains, certified: certified, chain: der, ski: ski,
            certificateDigest: Array(SHA256.hash(data: der[0])), key: key,
            modes: configuration.modes,
            handoff: try self.handoff(
                named: domains, ski: ski, chain: der, key: key, settings: configuration.handshakes),
            native: native, notAfter: Int64(leaf.notValidAfter.timeIntervalSince1970), chainName: chainName,
            lacksIntermediate: ChainOrder.lacksIntermediate(chain))
    }

    /// That of the site which had one of these domains before, if it is still good.
    private func handoff(
        named domains: [ServerNamePattern], ski: [UInt8], chain: [[UInt8]], key: any StoredKey,
        settings: HandshakeSettings
    ) throws(SiteLoadError) -> SiteHandoff {
        let before: SiteHandoff? = domains.lazy.compactMap { self.previous?.site(having: $0) }.first { site in
            site.ski == ski && site.handoff.serves(chain: chain, key: key)
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
        if let before, before.tickets === tickets, before.settings == settings { return before }
        return SiteHandoff(tickets: tickets, chain: chain, key: key, settings: settings)
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

    /// What the site is served for, and what its certificate covers.
    private static func domains(
        _ configured: [ServerNamePattern]?, of leaf: Certificate, _ chainName: String, coversLater: Bool
    ) throws(SiteLoadError) -> (domains: [ServerNamePattern], certified: [ServerNamePattern]) {
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
        guard let configured else {
            guard !covered.isEmpty else { throw firstBad ?? .noNames(chainName) }
            return (covered, covered)
        }
        guard !configured.isEmpty else { throw .noNames(chainName) }
        for domain in configured where !coversLater && !covered.contains(domain) {
            guard !domain.isWildcard, covered.contains(where: { $0.matches(domain.base) }) else {
                throw .nameNotCovered(chainName, name: domain.description)
            }
        }
        return (configured, covered)
    }

    private static func der(_ certificate: Certificate) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try certificate.serialize(into: &serializer)
        return serializer.serializedBytes
    }
}
