import Crypto
import CryptoExtras
import SwiftASN1
import X509

/// The key types a site's certificate can have.
public enum SiteKeyType: String, CaseIterable, Sendable {
    case p256
    case rsa2048 = "rsa-2048"
    case ed25519

    /// The field's name for it, for tables and messages.
    public var displayName: String {
        switch self {
        case .p256: "P-256"
        case .rsa2048: "RSA-2048"
        case .ed25519: "Ed25519"
        }
    }
}

/// A private key of a site, an identity or an authority.
enum SigningKey {
    case p256(P256.Signing.PrivateKey)
    case rsa(_RSA.Signing.PrivateKey)
    case ed25519(Curve25519.Signing.PrivateKey)

    /// Makes a key of the wanted type from the system's random numbers. RSA takes tens to hundreds of milliseconds.
    init(generating type: SiteKeyType) throws {
        switch type {
        case .p256: self = .p256(P256.Signing.PrivateKey())
        case .rsa2048: self = .rsa(try _RSA.Signing.PrivateKey(keySize: .bits2048))
        case .ed25519: self = .ed25519(Curve25519.Signing.PrivateKey())
        }
    }

    /// A P-256 or RSA key from PEM; nil where it is neither. What it was is not said: it may be key material.
    init?(pem: String) {
        if let key = try? P256.Signing.PrivateKey(pemRepresentation: pem) {
            self = .p256(key)
        } else if let key = try? _RSA.Signing.PrivateKey(pemRepresentation: pem) {
            self = .rsa(key)
        } else {
            return nil
        }
    }

    var type: SiteKeyType {
        switch self {
        case .p256: .p256
        case .rsa: .rsa2048
        case .ed25519: .ed25519
        }
    }

    /// What certificates are signed with.
    var signatureAlgorithm: Certificate.SignatureAlgorithm {
        switch self {
        case .p256: .ecdsaWithSHA256
        case .rsa: .sha256WithRSAEncryption
        case .ed25519: .ed25519
        }
    }

    var privateKey: Certificate.PrivateKey {
        switch self {
        case .p256(let key): Certificate.PrivateKey(key)
        case .rsa(let key): Certificate.PrivateKey(key)
        case .ed25519(let key): Certificate.PrivateKey(key)
        }
    }

    /// PKCS#8 PEM. `Certificate.PrivateKey` would write RSA keys as PKCS#1, so each type is asked itself.
    var pkcs8PEM: String {
        get throws {
            switch self {
            case .p256(let key): PEM.withNewline(key.pemRepresentation)
            case .rsa(let key): PEM.withNewline(key.pkcs8PEMRepresentation)
            case .ed25519(let key): PEM.withNewline(try Certificate.PrivateKey(key).serializeAsPEM().pemString)
            }
        }
    }
}
