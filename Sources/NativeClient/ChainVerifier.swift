import FoundationEssentials
import SwiftASN1
package import TLSWire
public import X509

/// Whom to trust.
public enum ClientRoots: Sendable {
    /// The system's certificate authorities.
    case system
    /// These, and no others.
    case certificates([Certificate])

    /// Reads the certificates in PEM text; other blocks are an error.
    public init(pem: String) throws {
        let documents: [PEMDocument] = try PEMDocument.parseMultiple(pemString: pem)
        self = .certificates(try documents.map { try Certificate(pemDocument: $0) })
    }
}

/// Verifies a server's chain with swift-certificates: path to a root, RFC 5280 (validity, basic constraints, name
/// constraints), the server's name (RFC 9525), and that the key is for TLS servers.
///
/// With TLS it stands in for the library's own verification, because only so the chain is known and the reason can be told.
/// The proof that the server has the key of the leaf is the handshake's.
package struct ChainVerifier: Sendable {
    package enum Outcome: Sendable {
        /// The path from leaf to root.
        case verified([Certificate])
        /// Why not, most telling reason first.
        case failed([String])
        /// Nothing is wrong but that no path leads to a root from this issuer.
        case untrusted(issuer: String)
    }

    package var roots: ClientRoots
    package var serverName: ServerName

    package init(roots: ClientRoots, serverName: ServerName) {
        self.roots = roots
        self.serverName = serverName
    }

    package func verify(_ chain: [Certificate]) async -> Outcome {
        guard let leaf: Certificate = chain.first else { return .failed(["the server sent no certificate"]) }
        if let reason: String = Self.wrongUsage(leaf) ?? Self.disorder(chain) { return .failed([reason]) }

        let store: CertificateStore
        switch roots {
        case .system: store = .systemTrustRoots
        case .certificates(let certificates): store = CertificateStore(certificates)
        }
        var verifier = Verifier(rootCertificates: store) {
            RFC5280Policy()
            ServerIdentityPolicy(serverHostname: serverName.rawValue, serverIP: nil)
        }
        switch await verifier.validate(leaf: leaf, intermediates: CertificateStore(chain.dropFirst())) {
        case .validCertificate(let path):
            return .verified(Array(path))
        case .couldNotValidate(let failures):
            let plain: [String] = plainReasons(leaf)
            let reasons: [String] = !plain.isEmpty ? plain : failures.map { String(describing: $0.policyFailureReason) }
            return reasons.isEmpty ? .untrusted(issuer: leaf.issuer.description) : .failed(reasons)
        }
    }

    /// The common reasons in plain words; the verifier gives its own besides.
    private func plainReasons(_ leaf: Certificate) -> [String] {
        var reasons: [String] = []
        let now = Date()
        if now > leaf.notValidAfter { reasons.append("the certificate expired at \(leaf.notValidAfter)") }
        if now < leaf.notValidBefore { reasons.append("the certificate counts only from \(leaf.notValidBefore) on") }
        let names: [String] = CertificateSummary(leaf).alternativeNames
        let matches: Bool = names.contains { name in
            (try? ServerNamePattern(name))?.matches(serverName) ?? false
        }
        if !matches {
            let list: String = names.isEmpty ? "no names" : names.joined(separator: ", ")
            reasons.append("the certificate is for \(list), not for \(serverName)")
        }
        return reasons
    }

    /// Intermediates that a server may send; a root it sends as well counts.
    static let maximumIntermediates = 4

    /// What TLS 1.2 asked of a chain (RFC 5246 §7.4.2): each certificate is issued by the next. And none comes twice.
    ///
    /// A path builder tries every order of what it is given: a few certificates with one name and key would keep it busy
    /// for as long as the peer that sent them likes. In a chain like this there is one order.
    static func disorder(_ chain: [Certificate]) -> String? {
        guard chain.count - 1 <= Self.maximumIntermediates else {
            return "the server sent \(chain.count - 1) intermediates; at most \(Self.maximumIntermediates) are accepted"
        }
        for (index, certificate) in chain.enumerated().dropFirst() {
            let subject: DistinguishedName = certificate.subject
            guard chain[index - 1].issuer == subject else {
                return "the server's chain is out of order: certificate \(index) is issued by"
                    + " \"\(chain[index - 1].issuer)\", and the next one is \"\(subject)\""
            }
            let isKnown: Bool = chain[..<index].contains {
                $0.subject == subject && $0.publicKey == certificate.publicKey
            }
            if isKnown { return "the server's chain has two certificates for \"\(subject)\" with one key" }
        }
        return nil
    }

    /// RFC 5280 §4.2.1.3, §4.2.1.12: a key usage, where present, must allow signatures, and an extended key usage, where present, must allow TLS servers.
    private static func wrongUsage(_ leaf: Certificate) -> String? {
        do {
            if let usage: KeyUsage = try leaf.extensions.keyUsage, !usage.digitalSignature {
                return "the certificate's key usage does not allow signatures"
            }
            guard let usage: ExtendedKeyUsage = try leaf.extensions.extendedKeyUsage else { return nil }
            return usage.contains(.serverAuth) || usage.contains(.any)
                ? nil : "the certificate's extended key usage does not allow TLS servers"
        } catch {
            return "the certificate's key usage can't be read"
        }
    }
}
