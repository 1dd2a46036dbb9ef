import Crypto
import CryptoExtras
import SwiftASN1
import X509

/// The kinds of keys that certificates are ordered for.
public enum SiteKeyKind: String, CaseIterable, Sendable {
    /// P-256.
    case ecdsa
    /// 2048 bits, for clients that know no other.
    case rsa
}

/// The private key of a site's certificate: made here, and never sent anywhere.
public struct SiteKey: Sendable {
    private enum Secret {
        case ecdsa(P256.Signing.PrivateKey)
        case rsa(_RSA.Signing.PrivateKey)
    }

    private let secret: Secret

    /// An ECDSA key.
    public init() { self.secret = .ecdsa(P256.Signing.PrivateKey()) }

    /// Of RSA, this takes some tenths of a second.
    public init(_ kind: SiteKeyKind) throws(ACMEFailure) {
        switch kind {
        case .ecdsa: self.init()
        case .rsa:
            let key: _RSA.Signing.PrivateKey
            do { key = try _RSA.Signing.PrivateKey(keySize: .bits2048) } catch {
                throw ACMEFailure(.local("an RSA key cannot be made: \(error)"))
            }
            self.init(.rsa(key))
        }
    }

    private init(_ secret: Secret) { self.secret = secret }

    /// - Throws: if the text is no P-256 or RSA key in PEM.
    public init(pem: String) throws {
        if let key = try? P256.Signing.PrivateKey(pemRepresentation: pem) {
            self.secret = .ecdsa(key)
        } else {
            self.secret = .rsa(try _RSA.Signing.PrivateKey(pemRepresentation: pem))
        }
    }

    public var kind: SiteKeyKind {
        switch self.secret {
        case .ecdsa: .ecdsa
        case .rsa: .rsa
        }
    }

    public var pem: String {
        switch self.secret {
        case .ecdsa(let key): key.pemRepresentation
        case .rsa(let key): key.pemRepresentation
        }
    }

    var publicKey: Certificate.PublicKey { self.signing.key.publicKey }

    /// As certificates and requests for them are signed.
    var signing: (key: Certificate.PrivateKey, algorithm: Certificate.SignatureAlgorithm) {
        switch self.secret {
        case .ecdsa(let key): (Certificate.PrivateKey(key), .ecdsaWithSHA256)
        case .rsa(let key): (Certificate.PrivateKey(key), .sha256WithRSAEncryption)
        }
    }

    /// A request for a certificate (PKCS #10): DER. The names stand in the extension for alternative names alone.
    func certificateRequest(for names: [String]) throws(ACMEFailure) -> [UInt8] {
        do {
            let extensions = try Certificate.Extensions { SubjectAlternativeNames(names.map { .dnsName($0) }) }
            let (key, algorithm) = self.signing
            let request = try CertificateSigningRequest(
                version: .v1, subject: DistinguishedName(), privateKey: key,
                attributes: CertificateSigningRequest.Attributes([
                    .init(ExtensionRequest(extensions: extensions))
                ]), signatureAlgorithm: algorithm)
            var serializer = DER.Serializer()
            try serializer.serialize(request)
            return serializer.serializedBytes
        } catch {
            throw ACMEFailure(.local("the certificate request cannot be made: \(error)"))
        }
    }
}
