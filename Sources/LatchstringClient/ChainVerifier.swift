import FoundationEssentials
import NIOSSL
import SwiftASN1
import TLSWire
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
/// It stands in for the TLS library's own verification, because only so the chain is known and the reason can be told.
/// The proof that the server has the key of the leaf stays with the TLS library.
struct ChainVerifier: Sendable {
    enum Outcome: Sendable {
        /// The path from leaf to root.
        case verified([Certificate])
        /// Why not, most telling reason first.
        case failed([String])
        /// Nothing is wrong but that no path leads to a root from this issuer.
        case untrusted(issuer: String)
    }

    var roots: ClientRoots
    var serverName: ServerName

    static func decode(_ chain: [NIOSSLCertificate]) throws -> [Certificate] {
        try chain.map { try Certificate(derEncoded: try $0.toDERBytes()) }
    }

    func verify(_ chain: [Certificate]) async -> Outcome {
        guard let leaf: Certificate = chain.first else { return .failed(["the server sent no certificate"]) }
        if let reason: String = Self.wrongUsage(leaf) { return .failed([reason]) }

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

    /// RFC 5280 §4.2.1.12: an extended key usage, where present, must allow TLS servers.
    private static func wrongUsage(_ leaf: Certificate) -> String? {
        do {
            guard let usage: ExtendedKeyUsage = try leaf.extensions.extendedKeyUsage else { return nil }
            return usage.contains(.serverAuth) || usage.contains(.any)
                ? nil : "the certificate's extended key usage does not allow TLS servers"
        } catch {
            return "the certificate's extended key usage can't be read"
        }
    }
}
