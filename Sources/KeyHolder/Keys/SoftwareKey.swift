import Crypto
import CryptoExtras
import TLSWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A private key in this process, used through swift-crypto.
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
            self.publicKey = Certificate.PublicKey(key.signing.publicKey)
        case .ed25519(let key):
            self.type = .ed25519
            self.publicKey = Certificate.PublicKey(key.publicKey)
        }
    }

    func cost(of operation: KeyOperation) -> KeyOperationCost {
        // A long message takes long to hash, whatever the key.
        if case .signMessage(let message) = operation, message.count > 4096 { return .offload }
        switch self.secret {
        case .p256, .ed25519: return .inPlace
        case .p384, .p521, .rsa: return .offload
        }
    }

    func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
        switch operation {
        case .sign(let scheme, let content):
            return try self.sign(scheme, content)
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
                return try key.sign(SHA256.hash(data: content), .PSS)
            case (.rsa(let key), .rsaPSSSHA384):
                return try key.sign(SHA384.hash(data: content), .PSS)
            case (.rsa(let key), .rsaPSSSHA512):
                return try key.sign(SHA512.hash(data: content), .PSS)
            case (.rsa(let key), .rsaPKCS1SHA256):
                return try key.sign(SHA256.hash(data: content), .insecurePKCS1v1_5)
            case (.rsa(let key), .rsaPKCS1SHA384):
                return try key.sign(SHA384.hash(data: content), .insecurePKCS1v1_5)
            case (.rsa(let key), .rsaPKCS1SHA512):
                return try key.sign(SHA512.hash(data: content), .insecurePKCS1v1_5)
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

/// An RSA private key in the two shapes that swift-crypto needs for signing and for the bare private operation.
struct RSASecret: Sendable {
    let signing: _RSA.Signing.PrivateKey
    /// swift-crypto offers the bare operation (blinded, and checked against the public key) under this name only.
    private let bare: _RSA.BlindSigning.PrivateKey<SHA384>
    private let encryption: Encryption

    /// swift-crypto does not say that this type may be used from several threads, as it says of its twin for signing; both
    /// hold the same immutable key, which BoringSSL locks where it must.
    private struct Encryption: @unchecked Sendable {
        let key: _RSA.Encryption.PrivateKey
    }

    /// Makes the substitute for a ciphertext with wrong padding. Never leaves this process.
    private let rejectionKey: SymmetricKey
    let bits: Int

    init(_ key: _RSA.Signing.PrivateKey) throws {
        self.signing = key
        self.bare = try _RSA.BlindSigning.PrivateKey(derRepresentation: key.derRepresentation)
        self.encryption = Encryption(key: try _RSA.Encryption.PrivateKey(derRepresentation: key.derRepresentation))
        self.rejectionKey = SymmetricKey(size: .bits256)
        self.bits = key.keySizeInBits
    }

    private var modulusLength: Int { (self.bits + 7) / 8 }

    func sign<D: Digest>(_ digest: D, _ padding: _RSA.Signing.Padding) throws -> [UInt8] {
        Array(try self.signing.signature(for: digest, padding: padding).rawRepresentation)
    }

    func signPKCS1(_ algorithm: DigestAlgorithm, _ digest: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        guard let block = RSABlock.pkcs1(algorithm, digest: digest, modulusLength: self.modulusLength) else {
            throw .badLength
        }
        return try self.raw(block)
    }

    func signPSS(_ algorithm: DigestAlgorithm, _ digest: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        let salt: [UInt8] = (0..<algorithm.length).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        guard let block = RSABlock.pss(algorithm, digest: digest, salt: salt, modulusBits: self.bits) else {
            throw .badLength
        }
        return try self.raw(block)
    }

    func decryptOAEP(_ ciphertext: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        guard ciphertext.count == self.modulusLength else { throw .badLength }
        do {
            return Array(try self.encryption.key.decrypt(ciphertext, padding: .PKCS1_OAEP_SHA256))
        } catch {
            throw .failed
        }
    }

    func raw(_ block: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        guard block.count == self.modulusLength else { throw .badLength }
        do { return Array(try self.bare.blindSignature(for: block).rawRepresentation) } catch { throw .failed }
    }

    /// Implicit rejection: a wrong padding gives 48 bytes drawn from a secret key and the ciphertext, so that asking about
    /// many ciphertexts (Bleichenbacher's attack, ROBOT) tells nothing.
    func premasterSecret(_ ciphertext: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        let block: [UInt8] = try self.raw(ciphertext)
        let substitute: [UInt8] = Array(HMAC<SHA384>.authenticationCode(for: ciphertext, using: self.rejectionKey))
        return RSABlock.premasterSecret(in: block, orElse: substitute)
    }
}
