import Crypto
import CryptoExtras
import Foundation
import PrivateAuthority
import RecordLayer
import TLSEngine
import TLSWire
import X509

/// A site with a certificate of each kind, made once for all tests, and the keys that sign for it.
struct TestSite: Sendable {
    static let name = "www.example.test"
    static let shared = try? TestSite()

    let rootPEM: String
    let rsa: Leaf
    let ecdsa: Leaf
    /// Of the same kind, for an intruder's signatures.
    let otherECDSA: Leaf
    let ed25519: Leaf

    struct Leaf: Sendable {
        let certificate: IssuedCertificate
        let chain: [[UInt8]]
        let schemes: [SignatureScheme]
        let sign: @Sendable (SignatureRequest) throws -> [UInt8]

        func credential(ocspResponse: [UInt8]? = nil) -> ServerCredential {
            ServerCredential(chain: self.chain, key: .remote(self.schemes), ocspResponse: ocspResponse)
        }

        /// With the key in the TLS library.
        var localCredential: ServerCredential {
            ServerCredential(chain: self.chain, key: .local(pkcs8: Secret(TestSite.der(self.certificate.keyPEM))))
        }
    }

    init() throws {
        let authority = try TestSiteAuthority(name: "Engine Test Root")
        self.rootPEM = authority.certificatePEM
        self.ecdsa = try Self.ecdsa(authority)
        self.otherECDSA = try Self.ecdsa(authority)
        let ed25519 = try authority.issueSite(domains: [Self.name], keyType: .ed25519)
        // The end of its PKCS #8.
        let edwardsKey = try Curve25519.Signing.PrivateKey(rawRepresentation: Self.der(ed25519.keyPEM).suffix(32))
        self.ed25519 = Leaf(certificate: ed25519, chain: try ed25519.chainDER, schemes: [.ed25519]) { request in
            Array(try edwardsKey.signature(for: request.content))
        }
        let rsa = try authority.issueSite(domains: [Self.name], keyType: .rsa2048)
        let rsaKey = try _RSA.Signing.PrivateKey(pemRepresentation: rsa.keyPEM)
        self.rsa = Leaf(
            certificate: rsa, chain: try rsa.chainDER, schemes: [.rsaPSSSHA256, .rsaPKCS1SHA256]
        ) { request in
            let padding: _RSA.Signing.Padding = request.scheme == .rsaPSSSHA256 ? .PSS : .insecurePKCS1v1_5
            let digest = SHA256.hash(data: request.content)
            return Array(try rsaKey.signature(for: digest, padding: padding).rawRepresentation)
        }
    }

    /// What stands in a PEM text.
    static func der(_ pem: String) -> Data {
        Data(base64Encoded: pem.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined()) ?? Data()
    }

    private static func ecdsa(_ authority: TestSiteAuthority) throws -> Leaf {
        let issued = try authority.issueSite(domains: [Self.name], keyType: .p256)
        let key = try P256.Signing.PrivateKey(pemRepresentation: issued.keyPEM)
        return Leaf(certificate: issued, chain: try issued.chainDER, schemes: [.ecdsaP256SHA256]) { request in
            Array(try key.signature(for: request.content).derRepresentation)
        }
    }

    /// Signs for the credential of a context made of `ecdsa` and `rsa`, in this order.
    func sign(_ request: SignatureRequest) throws -> [UInt8] {
        try [self.ecdsa, self.rsa][request.credential].sign(request)
    }

    /// - Parameter adjust: of the policy.
    func context(
        _ credentials: [ServerCredential]? = nil, _ adjust: (inout ServerPolicy) -> Void = { _ in }
    ) throws -> ServerContext {
        var policy = ServerPolicy()
        adjust(&policy)
        return try ServerContext(credentials ?? [self.ecdsa.credential(), self.rsa.credential()], policy: policy)
    }

    static func ticketKeys(site: String = name, _ secret: UInt8 = 1, others: [UInt8] = []) throws -> SiteTicketKeys {
        try SiteTicketKeys(site: site, Self.secrets(secret, others: others))
    }

    static func secrets(_ current: UInt8, others: [UInt8] = []) -> SiteTicketKeys.Secrets {
        func secret(_ byte: UInt8) -> Secret { Secret([UInt8](repeating: byte, count: 32)) }
        return SiteTicketKeys.Secrets(current: secret(current), others: others.map(secret))
    }
}
