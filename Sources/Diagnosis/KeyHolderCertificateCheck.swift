import FoundationEssentials
import HSMKeys
import HSMWire
import KeyHolder
import Settings
import TLSWire
import X509

/// Checks one certificate of a key holder's site, with its chain and key.
struct KeyHolderCertificateCheck {
    let report: CheckReport
    let keys: HSMKeyStore
    /// Tokens are not asked.
    let offline: Bool
    let now: Date

    /// What belongs together.
    struct Loaded {
        var location: SourceLocation
        /// Of the chain.
        var file: String
        var chain: [Certificate]
        /// The certificate's DNS names.
        var names: [ServerNamePattern]
        var ski: [UInt8]
        var source: KeySource
        /// nil: it is on a token that was not asked.
        var key: (any StoredKey)?
        var isValid: Bool
    }

    /// nil, and a failure, if clients could not be served with it.
    func load(_ certificate: KeyHolderSettings.Certificate) -> Loaded? {
        let place = certificate.location
        let chain: [Certificate]
        do {
            chain = try CertificateChecks.chain(pem: CheckFiles.text(certificate.chain))
        } catch {
            let reason =
                (error as? CertificateChecks.Unusable)?.reason ?? (error as? CheckFiles.Unreadable)?.reason
                ?? "\(error)"
            self.report.fail(
                place, "cannot use the chain \(certificate.chain): \(reason)", remedy: "Store it as PEM, leaf first.")
            return nil
        }
        do throws(SiteLoadError) {
            if let position = ChainOrder.misplacedLeaf(in: chain) {
                throw .leafNotFirst(certificate.chain, position: position)
            }
            let leaf = chain[0]
            let source = KeySource(certificate.key)
            let key = try self.key(source, of: leaf, certificate)
            if let position = CertificateChecks.brokenLink(in: chain) {
                throw .brokenChain(certificate.chain, position: position)
            }
            return Loaded(
                location: place, file: certificate.chain, chain: chain, names: CertificateChecks.domains(of: leaf),
                ski: CertificateChecks.ski(of: leaf), source: source, key: key,
                isValid: leaf.notValidBefore <= self.now && self.now <= leaf.notValidAfter)
        } catch {
            self.report.fail(place, "\(error)", remedy: nil)
            return nil
        }
    }

    private func key(
        _ source: KeySource, of leaf: Certificate, _ certificate: KeyHolderSettings.Certificate
    ) throws(SiteLoadError) -> (any StoredKey)? {
        if case .token = source, self.offline {
            self.report.ok(
                certificate.location,
                "site \(certificate.chain): the key \(source.name) was not asked for (--offline)")
            return nil
        }
        let found = try self.keys.key(from: source, for: leaf.publicKey)
        guard found.publicKey == leaf.publicKey else {
            throw .keyMismatch(certificate: certificate.chain, key: source.name)
        }
        return found
    }

    /// Says what is good and bad about it.
    ///
    /// - Parameter names: The site's, for people.
    func tell(_ loaded: Loaded, of names: String) {
        if ChainOrder.lacksIntermediate(loaded.chain) {
            self.report.warn(
                loaded.location,
                "\(loaded.file) has the site's own certificate alone: clients will not find who issued it",
                remedy: "\(ChainOrder.remedy.prefix(1).uppercased())\(ChainOrder.remedy.dropFirst()).")
        }
        let validity = CertificateChecks.validity(of: loaded.chain[0], now: self.now)
        self.report.add(
            CheckLine(
                outcome: validity.outcome, location: loaded.location,
                text:
                    "site \(names): \(Self.text(loaded)) chain of \(loaded.chain.count)\(loaded.key == nil ? "" : " belong together"), \(validity.text)\(Self.issuer(loaded.chain))",
                remedy: validity.outcome == .ok ? nil : "Have the certificate renewed."))
    }

    /// What cannot be decided from the file.
    private static func issuer(_ chain: [Certificate]) -> String {
        guard let issuer = ChainOrder.unprovenIssuer(chain) else { return "" }
        return "; clients must know its issuer (\(issuer)) as an authority, or the file lacks an intermediate"
    }

    /// As the subject of a sentence about it and the chain.
    private static func text(_ loaded: Loaded) -> String {
        guard let key = loaded.key else { return "its" }
        guard case .token(let uri) = loaded.source else { return "\(key.type) key and" }
        return "\(key.type) key \(uri.name), which signed, and"
    }
}
