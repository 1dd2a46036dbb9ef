import Crypto
import RecordLayer
import TLSWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A private key in this process: RSA in the system's libcrypto, the others in swift-crypto, whichever is faster.
struct SoftwareKey: StoredKey {
    enum Secret: Sendable {
        case p256(P256.Signing.PrivateKey)
        case p384(P384.Signing.PrivateKey)
        case p521(P521.Signing.PrivateKey)
        case rsa(RSASecret)
        case ed25519(Curve25519.Signing.PrivateKey)
    }

    let type: KeyType
    let publicKey: Certificate.PublicKey
    private let secret: Secret

    init(_ secret: Secret) {
        self.secret = secret
        switch secret {
        case .p256(let key):
            self.type = .p256
            self.publicKey = Certificate.PublicKey(key.publicKey)
        case .p384(let key):
            self.type = .p384
            self.publicKey = Certificate.PublicKey(key.publicKey)
        case .p521(let key):
            self.type = .p521
            self.publicKey = Certificate.PublicKey(key.publicKey)
        case .rsa(let key):
            self.type = .rsa(bits: key.bits)
            self.publicKey = Certificate.PublicKey(key.publicKey)
        case .ed25519(let key):
            self.type = .ed25519
            self.publicKey = Certificate.PublicKey(key.publicKey)
        }
    }

    func privateKeyInfo() -> RecordLayer.Secret? {
        guard case .rsa(let key) = self.secret else { return nil }
        return key.privateKeyInfo()
    }

    func cost(of operation: KeyOperation) -> KeyOperationCost {
        // A long message takes long to hash, whatever the key.
        if case .signMessage(let message) = operation, message.count > 4096 { return .offload }
        switch self.secret {
        case .p256, .ed25519: return .inPlace
        // A quarter of a millisecond, within a slice of the loop's work; a thread's wake-ups cost a third of it again.
        case .rsa(let key) where key.bits <= 2048: return .inPlace
        case .p384, .p521, .rsa: return .offload
        }
    }

    func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
        switch operation {
        case .sign(let scheme, let content):
            return try self.sign(scheme, content.bytes)
        case .signDigest(let algorithm, let padding, let digest):
            guard digest.count == algorithm.length else { throw .badLength }
            return try self.signDigest(algorithm, padding, digest)
        case .signMessage(let message):
            guard case .ed25519 = self.secret else { throw .wrongKeyType }
            return try self.sign(.ed25519, message)
        case .decryptPremasterSecret(let ciphertext):
            guard case .rsa(let key) = self.secret else { throw .wrongKeyType }
            return try key.premasterSecret(ciphertext)
        case .decryptOAEP(let ciphertext):
            guard case .rsa(let key) = self.secret else { throw .wrongKeyType }
            return try key.decryptOAEP(ciphertext)
        case .openHPKE(let encapsulatedKey, let ciphertext, let info, let authenticated):
            guard case .p256(let key) = self.secret else { throw .wrongKeyType }
            return try Self.openHPKE(key, encapsulatedKey, ciphertext, info, authenticated)
        case .rawRSA(let block):
            guard case .rsa(let key) = self.secret else { throw .wrongKeyType }
            return try key.raw(block)
        }
    }

    private static func openHPKE(
        _ key: P256.Signing.PrivateKey, _ encapsulatedKey: [UInt8], _ ciphertext: [UInt8], _ info: [UInt8],
        _ authenticated: [UInt8]
    ) throws(KeyOperationError) -> [UInt8] {
        do {
            var recipient = try HPKE.Recipient(
                privateKey: P256.KeyAgreement.PrivateKey(rawRepresentation: key.rawRepresentation),
                ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info), encapsulatedKey: Data(encapsulatedKey))
            return Array(try recipient.open(ciphertext, authenticating: authenticated))
        } catch {
            throw .failed
        }
    }

    private func sign(_ scheme: SignatureScheme, _ content: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        do {
            switch (self.secret, scheme) {
            case (.p256(let key), .ecdsaP256SHA256):
                return Array(try key.signature(for: SHA256.hash(data: content)).derRepresentation)
            case (.p384(let key), .ecdsaP384SHA384):
                return Array(try key.signature(for: SHA384.hash(data: content)).derRepresentation)
            case (.p521(let key), .ecdsaP521SHA512):
                return Array(try key.signature(for: SHA512.hash(data: content)).derRepresentation)
            case (.ed25519(let key), .ed25519):
                return Array(try key.signature(for: content))
            case (.rsa(let key), .rsaPSSSHA256):
                return try key.signPSS(.sha256, Array(SHA256.hash(data: content)))
            case (.rsa(let key), .rsaPSSSHA384):
                return try key.signPSS(.sha384, Array(SHA384.hash(data: content)))
            case (.rsa(let key), .rsaPSSSHA512):
                return try key.signPSS(.sha512, Array(SHA512.hash(data: content)))
            case (.rsa(let key), .rsaPKCS1SHA256):
                return try key.signPKCS1(.sha256, Array(SHA256.hash(data: content)))
            case (.rsa(let key), .rsaPKCS1SHA384):
                return try key.signPKCS1(.sha384, Array(SHA384.hash(data: content)))
            case (.rsa(let key), .rsaPKCS1SHA512):
                return try key.signPKCS1(.sha512, Array(SHA512.hash(data: content)))
            default:
                throw KeyOperationError.wrongKeyType
            }
        } catch let error as KeyOperationError {
            throw error
        } catch {
            throw .failed
        }
    }

    private func signDigest(
        _ algorithm: DigestAlgorithm, _ padding: SignaturePadding, _ digest: [UInt8]
    ) throws(KeyOperationError) -> [UInt8] {
        do {
            switch (self.secret, padding) {
            case (.p256(let key), .ecdsa):
                return Array(try key.signature(for: RawDigest(digest)).derRepresentation)
            case (.p384(let key), .ecdsa):
                return Array(try key.signature(for: RawDigest(digest)).derRepresentation)
            case (.p521(let key), .ecdsa):
                return Array(try key.signature(for: RawDigest(digest)).derRepresentation)
            case (.rsa(let key), .pkcs1):
                return try key.signPKCS1(algorithm, digest)
            case (.rsa(let key), .pss):
                return try key.signPSS(algorithm, digest)
            default:
                throw KeyOperationError.wrongKeyType
            }
        } catch let error as KeyOperationError {
            throw error
        } catch {
            throw .failed
        }
    }
}
