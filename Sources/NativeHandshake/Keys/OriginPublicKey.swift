import Crypto
import CryptoExtras

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The public key of an origin's certificate: verifies its proofs, and encrypts to it.
public struct OriginPublicKey: Sendable {
    private enum Key: Sendable {
        case rsa(_RSA.Signing.PublicKey)
        case p256(P256.Signing.PublicKey)
    }

    private let key: Key

    /// Takes the certificate's SubjectPublicKeyInfo in DER.
    ///
    /// - Throws: ``NativeError/unsupportedKey(_:)`` for every key but RSA of 2,048 to 4,096 bits and P-256.
    public init(subjectPublicKeyInfo der: [UInt8]) throws(NativeError) {
        if let key = try? P256.Signing.PublicKey(derRepresentation: der) {
            self.key = .p256(key)
        } else if let key = try? _RSA.Signing.PublicKey(derRepresentation: der),
            (2048...4096).contains(key.keySizeInBits)
        {
            self.key = .rsa(key)
        } else if der.starts(with: Self.ed25519Prefix) {
            throw .unsupportedKey(Self.ed25519Refusal)
        } else {
            throw .unsupportedKey("the certificate's key is neither P-256 nor RSA of 2048 to 4096 bits")
        }
    }

    /// SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 section 4).
    private static let ed25519Prefix: [UInt8] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70]

    /// Why an Ed25519 certificate cannot serve here, and what can.
    public static let ed25519Refusal: String =
        "an Ed25519 key can sign but not decrypt, and both key agreements send a secret encrypted to the certificate's key;"
        + " use a P-256 or RSA certificate for the native handshake"

    public var kind: NativeKeyKind {
        switch self.key {
        case .rsa: .rsa
        case .p256: .p256
        }
    }

    func isValid(signature: [UInt8], for content: [UInt8]) -> Bool {
        switch self.key {
        case .rsa(let key):
            return key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA256.hash(data: content), padding: .PSS)
        case .p256(let key):
            guard let signature = try? P256.Signing.ECDSASignature(derRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: SHA256.hash(data: content))
        }
    }

    /// Encrypts a secret of 32 bytes, bound to this handshake.
    func seal(secret: SymmetricKey, info: [UInt8], binding: [UInt8]) throws(NativeError) -> [UInt8] {
        var plaintext: [UInt8] = secret.withUnsafeBytes { Array($0) }
        defer { plaintext.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0) } }
        do {
            switch self.key {
            case .rsa(let key):
                plaintext += binding
                let encryption = try _RSA.Encryption.PublicKey(derRepresentation: key.derRepresentation)
                return Array(try encryption.encrypt(plaintext, padding: .PKCS1_OAEP_SHA256))
            case .p256(let key):
                let recipient = try P256.KeyAgreement.PublicKey(x963Representation: key.x963Representation)
                var sender = try HPKE.Sender(
                    recipientKey: recipient, ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info))
                let ciphertext: Data = try sender.seal(plaintext, authenticating: binding)
                return Array(sender.encapsulatedKey) + Array(ciphertext)
            }
        } catch {
            throw .internalFailure("encryption to the certificate's key")
        }
    }
}
