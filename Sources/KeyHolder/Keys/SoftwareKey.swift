import Crypto
import RecordLayer
import TLSCrypto
import TLSWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A private key in this process: RSA in the system's libcrypto, ECDSA in BoringSSL, whichever is faster, and Ed25519 in swift-crypto.
struct SoftwareKey: StoredKey {
    /// As it was read.
    enum Secret: Sendable {
        case p256(P256.Signing.PrivateKey)
        case p384(P384.Signing.PrivateKey)
        case p521(P521.Signing.PrivateKey)
        case rsa(RSASecret)
        case ed25519(Curve25519.Signing.PrivateKey)
    }

    let type: KeyType
    let publicKey: Certificate.PublicKey
    private let kept: Kept

    /// As it is used.
    private enum Kept {
        case ecdsa(ECDSAPrivateKey)
        case rsa(RSASecret)
        case ed25519(Curve25519.Signing.PrivateKey)
    }

    init(_ secret: Secret) {
        switch secret {
        case .p256(let key):
            self.type = .p256
            self.publicKey = Certificate.PublicKey(
                Self.made({ try P256.Signing.PublicKey(x963Representation: key.publicKey.x963Representation) }))
            self.kept = .ecdsa(Self.key(.p256, key.rawRepresentation))
        case .p384(let key):
            self.type = .p384
            self.publicKey = Certificate.PublicKey(
                Self.made({ try P384.Signing.PublicKey(x963Representation: key.publicKey.x963Representation) }))
            self.kept = .ecdsa(Self.key(.p384, key.rawRepresentation))
        case .p521(let key):
            self.type = .p521
            self.publicKey = Certificate.PublicKey(
                Self.made({ try P521.Signing.PublicKey(x963Representation: key.publicKey.x963Representation) }))
            self.kept = .ecdsa(Self.key(.p521, key.rawRepresentation))
        case .rsa(let key):
            self.type = .rsa(bits: key.bits)
            self.publicKey = Certificate.PublicKey(key.publicKey)
            self.kept = .rsa(key)
        case .ed25519(let key):
            self.type = .ed25519
            self.publicKey = Certificate.PublicKey(key.publicKey)
            self.kept = .ed25519(key)
        }
    }

    /// swift-crypto's public key of a private one has the private key's numbers in it: one is made of what is public alone.
    private static func made<Key>(_ make: () throws -> Key) -> Key {
        do { return try make() } catch { preconditionFailure("a public key is one: \(error)") }
    }

    private static func key(_ curve: ECDSAPrivateKey.Curve, _ scalar: consuming Data) -> ECDSAPrivateKey {
        var scalar: Data = scalar
        defer { scalar.withUnsafeMutableBytes { SecretMemory.erase($0) } }
        guard let key = scalar.withUnsafeBytes({ ECDSAPrivateKey(curve, scalar: $0) }) else {
            preconditionFailure("swift-crypto has read the key, and BoringSSL does not take it")
        }
        return key
    }

    func privateKeyInfo() -> RecordLayer.Secret? {
        guard case .rsa(let key) = self.kept else { return nil }
        return key.privateKeyInfo()
    }

    func cost(of operation: KeyOperation) -> KeyOperationCost {
        // A long message takes long to hash, whatever the key.
        if case .signMessage(let message) = operation, message.count > 4096 { return .offload }
        switch self.kept {
        case .ed25519: return .inPlace
        case .ecdsa(let key) where key.curve == .p256: return .inPlace
        // A quarter of a millisecond, within a slice of the loop's work; a thread's wake-ups cost a third of it again.
        case .rsa(let key) where key.bits <= 2048: return .inPlace
        case .ecdsa, .rsa: return .offload
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
            guard case .ed25519 = self.kept else { throw .wrongKeyType }
            return try self.sign(.ed25519, message)
        case .decryptPremasterSecret(let ciphertext):
            guard case .rsa(let key) = self.kept else { throw .wrongKeyType }
            return try key.premasterSecret(ciphertext)
        case .decryptOAEP(let ciphertext):
            guard case .rsa(let key) = self.kept else { throw .wrongKeyType }
            return try key.decryptOAEP(ciphertext)
        case .openHPKE(let encapsulatedKey, let ciphertext, let info, let authenticated):
            guard case .ecdsa(let key) = self.kept, key.curve == .p256 else { throw .wrongKeyType }
            return try Self.openHPKE(key, encapsulatedKey, ciphertext, info, authenticated)
        case .rawRSA(let block):
            guard case .rsa(let key) = self.kept else { throw .wrongKeyType }
            return try key.raw(block)
        }
    }

    private static func openHPKE(
        _ key: ECDSAPrivateKey, _ encapsulatedKey: [UInt8], _ ciphertext: [UInt8], _ info: [UInt8],
        _ authenticated: [UInt8]
    ) throws(KeyOperationError) -> [UInt8] {
        do {
            var recipient = try HPKE.Recipient(
                privateKey: key.withScalar { try P256.KeyAgreement.PrivateKey(rawRepresentation: $0) },
                ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info), encapsulatedKey: Data(encapsulatedKey))
            return Array(try recipient.open(ciphertext, authenticating: authenticated))
        } catch {
            throw .failed
        }
    }

    private func sign(_ scheme: SignatureScheme, _ content: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        do {
            switch (self.kept, scheme) {
            case (.ecdsa(let key), .ecdsaP256SHA256) where key.curve == .p256:
                return try Self.sign(key, SHA256.hash(data: content))
            case (.ecdsa(let key), .ecdsaP384SHA384) where key.curve == .p384:
                return try Self.sign(key, SHA384.hash(data: content))
            case (.ecdsa(let key), .ecdsaP521SHA512) where key.curve == .p521:
                return try Self.sign(key, SHA512.hash(data: content))
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

    private static func sign(_ key: ECDSAPrivateKey, _ digest: some ContiguousBytes) throws(KeyOperationError)
        -> [UInt8]
    {
        guard let signature = digest.withUnsafeBytes({ key.sign(digest: $0) }) else { throw .failed }
        return signature
    }

    private func signDigest(
        _ algorithm: DigestAlgorithm, _ padding: SignaturePadding, _ digest: [UInt8]
    ) throws(KeyOperationError) -> [UInt8] {
        switch (self.kept, padding) {
        case (.ecdsa(let key), .ecdsa):
            return try Self.sign(key, digest)
        case (.rsa(let key), .pkcs1):
            return try key.signPKCS1(algorithm, digest)
        case (.rsa(let key), .pss):
            return try key.signPSS(algorithm, digest)
        default:
            throw .wrongKeyType
        }
    }
}
