import Crypto
import CryptoExtras
import HSMWire
import SecretFiles
import SwiftASN1
public import X509

/// Keys from PEM files, kept in this process: RSA in the system's libcrypto, the others in swift-crypto.
///
/// Reads PKCS #8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`) and PKCS #1 (`RSA PRIVATE KEY`), for P-256, P-384, P-521,
/// Ed25519 and RSA of 2,048 to 4,096 bits.
public struct SoftwareKeyStore: KeyStore {
    public init() {}

    public func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey {
        try self.key(from: source)
    }

    public func key(from source: KeySource) throws(SiteLoadError) -> any StoredKey {
        switch source {
        case .text(let text, let name): return try Self.load(text, name, passphraseFile: nil)
        case .file(let path, let passphraseFile):
            let text: String
            do throws(SecretFileError) { text = try SecretFile.read(path) } catch { throw .secretFile(error) }
            return try Self.load(text, path, passphraseFile: passphraseFile)
        case .token(let uri): throw .token(uri.name, reason: "there is no PKCS #11 module; write hsm.module")
        }
    }

    static let rsaBits: ClosedRange<Int> = 2048...4096

    private static func load(
        _ text: String, _ name: String, passphraseFile: String?
    ) throws(SiteLoadError) -> SoftwareKey {
        // The older way to encrypt adds header lines, which are no PEM text of RFC 7468.
        if text.contains("Proc-Type: 4,ENCRYPTED") { throw .oldEncryption(name) }
        guard let documents = try? PEMDocument.parseMultiple(pemString: text), !documents.isEmpty else {
            throw .notPEM(name, "private key")
        }
        // Files from `openssl ecparam` begin with the curve's parameters; some have the certificate beside the key.
        let keys: [PEMDocument] = documents.filter { $0.discriminator.hasSuffix("PRIVATE KEY") }
        guard let document = keys.first else { throw .noKey(name) }
        guard keys.count == 1 else { throw .severalKeys(name) }
        if document.discriminator == "ENCRYPTED PRIVATE KEY", let passphraseFile {
            let der: [UInt8] = try EncryptedKey.decrypt(document.derBytes, name, passphraseFile: passphraseFile)
            defer { SecretFile.wipe(der) }
            return try Self.load("PRIVATE KEY", der, name)
        }
        let key: SoftwareKey = try Self.load(document.discriminator, document.derBytes, name)
        if let passphraseFile { throw .notEncrypted(name, passphraseFile: passphraseFile) }
        return key
    }

    private static func load(
        _ discriminator: String, _ der: [UInt8], _ name: String
    ) throws(SiteLoadError) -> SoftwareKey {
        let secret: SoftwareKey.Secret?
        switch discriminator {
        case "PRIVATE KEY":
            if let curve = Self.ellipticCurve(der) ?? Self.edwards(der) {
                secret = curve
            } else {
                secret = try Self.rsa(der, name)
            }
        case "EC PRIVATE KEY":
            secret = Self.ellipticCurve(der)
        case "RSA PRIVATE KEY":
            secret = try Self.rsa(der, name)
        case "ENCRYPTED PRIVATE KEY":
            throw .encryptedKey(name)
        default:
            secret = nil
        }
        guard let secret else { throw .unsupportedKey(name) }
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

    private static func rsa(_ der: [UInt8], _ name: String) throws(SiteLoadError) -> SoftwareKey.Secret? {
        // "Unsafe" here: down to 1,024 bits, so that the complaint about a short key can say so.
        guard let key = try? _RSA.Signing.PrivateKey(unsafeDERRepresentation: der) else { return nil }
        guard Self.rsaBits.contains(key.keySizeInBits) else {
            throw .rsaKeySize(name, bits: key.keySizeInBits)
        }
        guard let secret = try? RSASecret(key) else { return nil }
        return .rsa(secret)
    }
}
