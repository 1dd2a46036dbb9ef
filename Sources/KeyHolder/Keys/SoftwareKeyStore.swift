import Crypto
import CryptoExtras
import SwiftASN1

/// Keys from PEM files, kept in this process: RSA in the system's libcrypto, the others in swift-crypto.
///
/// Reads PKCS #8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`) and PKCS #1 (`RSA PRIVATE KEY`), for P-256, P-384, P-521,
/// Ed25519 and RSA of 2,048 to 4,096 bits.
public struct SoftwareKeyStore: KeyStore {
    public init() {}

    public func key(from source: PEMSource) throws(SiteLoadError) -> any StoredKey {
        try Self.load(from: source)
    }

    static let rsaBits: ClosedRange<Int> = 2048...4096

    private static func load(from source: PEMSource) throws(SiteLoadError) -> SoftwareKey {
        let text: String = try source.secretText()
        guard let documents = try? PEMDocument.parseMultiple(pemString: text), !documents.isEmpty else {
            throw .notPEM(source.name, "private key")
        }
        // Files from `openssl ecparam` begin with the curve's parameters; some have the certificate beside the key.
        let keys: [PEMDocument] = documents.filter { $0.discriminator.hasSuffix("PRIVATE KEY") }
        guard let document = keys.first else { throw .noKey(source.name) }
        guard keys.count == 1 else { throw .severalKeys(source.name) }
        let secret: SoftwareKey.Secret?
        switch document.discriminator {
        case "PRIVATE KEY":
            if let curve = Self.ellipticCurve(document.derBytes) ?? Self.edwards(document.derBytes) {
                secret = curve
            } else {
                secret = try Self.rsa(document.derBytes, source)
            }
        case "EC PRIVATE KEY":
            secret = Self.ellipticCurve(document.derBytes)
        case "RSA PRIVATE KEY":
            secret = try Self.rsa(document.derBytes, source)
        case "ENCRYPTED PRIVATE KEY":
            throw .encryptedKey(source.name)
        default:
            secret = nil
        }
        guard let secret else {
            // The older way to encrypt keeps the discriminator and adds header lines.
            if text.contains("Proc-Type:") { throw .encryptedKey(source.name) }
            throw .unsupportedKey(source.name)
        }
        return SoftwareKey(secret)
    }

    private static func ellipticCurve(_ der: [UInt8]) -> SoftwareKey.Secret? {
        if let key = try? P256.Signing.PrivateKey(derRepresentation: der) { return .p256(key) }
        if let key = try? P384.Signing.PrivateKey(derRepresentation: der) { return .p384(key) }
        if let key = try? P521.Signing.PrivateKey(derRepresentation: der) { return .p521(key) }
        return nil
    }

    private static func edwards(_ der: [UInt8]) -> SoftwareKey.Secret? {
        (try? Curve25519.Signing.PrivateKey(derRepresentation: der)).map { .ed25519($0) }
    }

    private static func rsa(_ der: [UInt8], _ source: PEMSource) throws(SiteLoadError) -> SoftwareKey.Secret? {
        // "Unsafe" here: down to 1,024 bits, so that the complaint about a short key can say so.
        guard let key = try? _RSA.Signing.PrivateKey(unsafeDERRepresentation: der) else { return nil }
        guard Self.rsaBits.contains(key.keySizeInBits) else {
            throw .rsaKeySize(source.name, bits: key.keySizeInBits)
        }
        guard let secret = try? RSASecret(key) else { return nil }
        return .rsa(secret)
    }
}
