import Crypto
import CryptoExtras
import Dispatch
import Foundation
import SwiftASN1
import Synchronization
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("Key store: loading and using keys")
struct KeyStoreTests {
    static func load(_ pem: String) throws -> any StoredKey {
        try SoftwareKeyStore().key(from: .text(pem, name: "test.key"))
    }

    static func perform(_ key: any StoredKey, _ operation: KeyOperation) throws -> [UInt8] {
        try key.perform(operation)
    }

    @Test("Every key type and file format loads")
    func formats() throws {
        let p256 = P256.Signing.PrivateKey()
        let p384 = P384.Signing.PrivateKey()
        let p521 = P521.Signing.PrivateKey()
        let edwards = Curve25519.Signing.PrivateKey()
        let rsa = Self.rsaKeys[0]
        let cases: [(String, KeyType)] = [
            (p256.pemRepresentation, .p256),
            (p384.pemRepresentation, .p384),
            (p521.pemRepresentation, .p521),
            (try Certificate.PrivateKey(edwards).serializeAsPEM().pemString, .ed25519),
            (rsa.pemRepresentation, .rsa(bits: 2048)),
            (rsa.pkcs8PEMRepresentation, .rsa(bits: 2048)),
        ]
        for (pem, type) in cases {
            let key = try Self.load(pem)
            #expect(key.type == type)
        }
        #expect(try Self.load(p256.pemRepresentation).publicKey == Certificate.PublicKey(p256.publicKey))
        // SEC 1, with the parameters block that openssl writes before it.
        let sec1 = try KeyFixtures.sec1(p256)
        #expect(try Self.load(sec1).type == .p256)
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        #expect(try Self.load(parameters + sec1).type == .p256)
    }

    @Test("What cannot be used is refused by name")
    func refusals() throws {
        #expect(throws: SiteLoadError.notPEM("test.key", "private key")) { try Self.load("nonsense") }
        let weak = try _RSA.Signing.PrivateKey(unsafeKeySize: .init(bitCount: 1024))
        #expect(throws: SiteLoadError.rsaKeySize("test.key", bits: 1024)) { try Self.load(weak.pemRepresentation) }
        let key = P256.Signing.PrivateKey().pemRepresentation
        #expect(throws: SiteLoadError.severalKeys("test.key")) { try Self.load(key + "\n" + key) }
        #expect(throws: SiteLoadError.noKey("test.key")) {
            try Self.load(P256.Signing.PrivateKey().publicKey.pemRepresentation)
        }
        let encrypted = key.replacingOccurrences(of: "PRIVATE", with: "ENCRYPTED PRIVATE")
        #expect(throws: SiteLoadError.encryptedKey("test.key")) { try Self.load(encrypted) }
        let garbage = "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n"
        #expect(throws: SiteLoadError.unsupportedKey("test.key")) { try Self.load(garbage) }
        #expect(throws: SiteLoadError.self) { try SoftwareKeyStore().key(from: .file("/nonexistent/x.key")) }
    }

    static let signed = SignedContent.tls13Server(transcriptHash: [UInt8](0..<48))
    static let content: [UInt8] = signed.bytes

    @Test("ECDSA signs with its own scheme and no other")
    func ecdsa() throws {
        let p256 = P256.Signing.PrivateKey()
        let key = try Self.load(p256.pemRepresentation)
        let signature = try P256.Signing.ECDSASignature(
            derRepresentation: try Self.perform(key, .sign(.ecdsaP256SHA256, content: Self.signed)))
        #expect(p256.publicKey.isValidSignature(signature, for: SHA256.hash(data: Self.content)))
        for scheme: SignatureScheme in [.ecdsaP384SHA384, .rsaPSSSHA256, .ed25519, .ecdsaSHA1] {
            #expect(throws: KeyOperationError.wrongKeyType) {
                try Self.perform(key, .sign(scheme, content: Self.signed))
            }
        }
        let p384 = P384.Signing.PrivateKey()
        let signature384 = try P384.Signing.ECDSASignature(
            derRepresentation: try Self.perform(
                try Self.load(p384.pemRepresentation), .sign(.ecdsaP384SHA384, content: Self.signed)))
        #expect(p384.publicKey.isValidSignature(signature384, for: SHA384.hash(data: Self.content)))
        let p521 = P521.Signing.PrivateKey()
        let signature521 = try P521.Signing.ECDSASignature(
            derRepresentation: try Self.perform(
                try Self.load(p521.pemRepresentation), .sign(.ecdsaP521SHA512, content: Self.signed)))
        #expect(p521.publicKey.isValidSignature(signature521, for: SHA512.hash(data: Self.content)))
    }

    @Test("ECDSA signs digests of every hash", arguments: DigestAlgorithm.allCases)
    func ecdsaDigest(algorithm: DigestAlgorithm) throws {
        let p256 = P256.Signing.PrivateKey()
        let key = try Self.load(p256.pemRepresentation)
        let digest: [UInt8] = (0..<algorithm.length).map { UInt8($0 + 1) }
        let der = try Self.perform(key, .signDigest(algorithm, .ecdsa, digest: digest))
        let signature = try P256.Signing.ECDSASignature(derRepresentation: der)
        #expect(p256.publicKey.isValidSignature(signature, for: RawDigest(digest)))
        if algorithm == .sha256 {
            let real = SHA256.hash(data: Self.content)
            let der = try Self.perform(key, .signDigest(.sha256, .ecdsa, digest: Array(real)))
            let signature = try P256.Signing.ECDSASignature(derRepresentation: der)
            #expect(p256.publicKey.isValidSignature(signature, for: real))
        }
        #expect(throws: KeyOperationError.badLength) {
            try Self.perform(key, .signDigest(algorithm, .ecdsa, digest: digest + [0]))
        }
        #expect(throws: KeyOperationError.wrongKeyType) {
            try Self.perform(key, .signDigest(algorithm, .pkcs1, digest: digest))
        }
    }

    @Test("Ed25519 signs messages")
    func edwards() throws {
        let edwards = Curve25519.Signing.PrivateKey()
        let key = try Self.load(try Certificate.PrivateKey(edwards).serializeAsPEM().pemString)
        for operation: KeyOperation in [.sign(.ed25519, content: Self.signed), .signMessage(Self.content)] {
            let signature = try Self.perform(key, operation)
            #expect(edwards.publicKey.isValidSignature(signature, for: Self.content))
        }
        #expect(throws: KeyOperationError.wrongKeyType) { try Self.perform(key, .rawRSA([1])) }
        #expect(throws: KeyOperationError.wrongKeyType) {
            try Self.perform(key, .signDigest(.sha256, .ecdsa, digest: [UInt8](repeating: 0, count: 32)))
        }
    }

    static let rsaKeys: [_RSA.Signing.PrivateKey] = {
        [2048, 3072].compactMap { try? _RSA.Signing.PrivateKey(keySize: .init(bitCount: $0)) }
    }()

    @Test("RSA signs content with every scheme", arguments: KeyType.rsa(bits: 2048).schemes)
    func rsaContent(scheme: SignatureScheme) throws {
        let rsa = Self.rsaKeys[0]
        let key = try Self.load(rsa.pemRepresentation)
        let bytes = try Self.perform(key, .sign(scheme, content: Self.signed))
        let signature = _RSA.Signing.RSASignature(rawRepresentation: bytes)
        let padding: _RSA.Signing.Padding = scheme.name.contains("pss") ? .PSS : .insecurePKCS1v1_5
        let valid: Bool =
            switch scheme {
            case .rsaPSSSHA256, .rsaPKCS1SHA256:
                rsa.publicKey.isValidSignature(signature, for: SHA256.hash(data: Self.content), padding: padding)
            case .rsaPSSSHA384, .rsaPKCS1SHA384:
                rsa.publicKey.isValidSignature(signature, for: SHA384.hash(data: Self.content), padding: padding)
            default:
                rsa.publicKey.isValidSignature(signature, for: SHA512.hash(data: Self.content), padding: padding)
            }
        #expect(valid)
    }

    @Test("RSA signs digests with both paddings, checked by the library", arguments: 0..<2)
    func rsaDigests(index: Int) throws {
        let rsa = Self.rsaKeys[index]
        let key = try Self.load(rsa.pemRepresentation)
        func check<D: Digest>(_ algorithm: DigestAlgorithm, _ digest: D, pss: Bool) throws {
            let pkcs1 = try Self.perform(key, .signDigest(algorithm, .pkcs1, digest: Array(digest)))
            // PKCS #1 v1.5 has no randomness: the library's own signature must be the same.
            #expect(
                try rsa.signature(for: digest, padding: .insecurePKCS1v1_5).rawRepresentation == Data(pkcs1))
            guard pss else { return }
            let probabilistic = try Self.perform(key, .signDigest(algorithm, .pss, digest: Array(digest)))
            #expect(
                rsa.publicKey.isValidSignature(.init(rawRepresentation: probabilistic), for: digest, padding: .PSS))
            #expect(try Self.perform(key, .signDigest(algorithm, .pss, digest: Array(digest))) != probabilistic)
        }
        try check(.sha1, Insecure.SHA1.hash(data: Self.content), pss: false)
        try check(.sha256, SHA256.hash(data: Self.content), pss: true)
        try check(.sha384, SHA384.hash(data: Self.content), pss: true)
        try check(.sha512, SHA512.hash(data: Self.content), pss: true)
        #expect(throws: KeyOperationError.badLength) {
            try Self.perform(key, .signDigest(.sha1, .pss, digest: [UInt8](repeating: 0, count: 20)))
        }
        #expect(throws: KeyOperationError.badLength) {
            try Self.perform(key, .signDigest(.sha256, .pkcs1, digest: [1]))
        }
    }

    /// Signing threads share one key, and libcrypto's blinding in it.
    @Test("RSA signs on many threads at a time")
    func rsaConcurrently() throws {
        let rsa = Self.rsaKeys[0]
        let key = try Self.load(rsa.pemRepresentation)
        let signatures = Mutex<[[UInt8]]>([])
        DispatchQueue.concurrentPerform(iterations: 40) { index in
            let scheme: SignatureScheme = index % 2 == 0 ? .rsaPSSSHA256 : .rsaPKCS1SHA256
            guard let signature = try? key.perform(.sign(scheme, content: Self.signed)) else { return }
            signatures.withLock { $0.append(signature) }
        }
        let digest = SHA256.hash(data: Self.content)
        let all: [[UInt8]] = signatures.withLock { $0 }
        #expect(all.count == 40)
        for bytes in all {
            let signature = _RSA.Signing.RSASignature(rawRepresentation: bytes)
            #expect(
                rsa.publicKey.isValidSignature(signature, for: digest, padding: .PSS)
                    || rsa.publicKey.isValidSignature(signature, for: digest, padding: .insecurePKCS1v1_5))
        }
    }

    @Test("RSA signs digests of MD5 with SHA-1, and of SHA-224")
    func rsaOldDigests() throws {
        let rsa = Self.rsaKeys[0]
        let key = try Self.load(rsa.pemRepresentation)
        for algorithm: DigestAlgorithm in [.md5SHA1, .sha224] {
            let digest: [UInt8] = (0..<algorithm.length).map { UInt8($0) }
            let signature = try Self.perform(key, .signDigest(algorithm, .pkcs1, digest: digest))
            let block = try #require(RSABlock.pkcs1(algorithm, digest: digest, modulusLength: 256))
            #expect(try KeyFixtures.publicOperation(rsa.publicKey, signature) == block)
            #expect(block.starts(with: [0, 1, 0xFF]) && block.suffix(algorithm.length) == digest[...])
        }
        let prefix: [UInt8] = [
            0, 0x30, 0x2D, 0x30, 0x0D, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4, 5, 0, 4, 28,
        ]
        let block = try #require(
            RSABlock.pkcs1(.sha224, digest: [UInt8](repeating: 0, count: 28), modulusLength: 256))
        #expect(Array(block.dropLast(28).suffix(prefix.count)) == prefix)
    }

    @Test("A premaster secret comes back; a wrong padding gives 48 unpredictable, repeatable bytes")
    func premasterSecret() throws {
        let rsa = Self.rsaKeys[0]
        let key = try Self.load(rsa.pemRepresentation)
        let secret: [UInt8] = [3, 3] + [UInt8](repeating: 0x5A, count: 46)
        func encrypt(_ block: [UInt8]) throws -> [UInt8] { try KeyFixtures.publicOperation(rsa.publicKey, block) }
        let filler = [UInt8](repeating: 7, count: 256 - 3 - 48)
        let good = try encrypt([0, 2] + filler + [0] + secret)
        #expect(try Self.perform(key, .decryptPremasterSecret(good)) == secret)
        var zeroInFiller: [UInt8] = filler
        zeroInFiller[9] = 0
        let bad: [[UInt8]] = [
            [0, 1] + filler + [0] + secret, [0, 2] + filler + [9] + secret, [0, 2] + zeroInFiller + [0] + secret,
            [0, 2] + filler.dropLast() + [0] + [1] + secret,
        ]
        var answers: Set<[UInt8]> = []
        for block in bad {
            let ciphertext = try encrypt(block)
            let first = try Self.perform(key, .decryptPremasterSecret(ciphertext))
            #expect(first.count == 48 && first != secret)
            #expect(try Self.perform(key, .decryptPremasterSecret(ciphertext)) == first)
            answers.insert(first)
        }
        #expect(answers.count == bad.count)
        #expect(throws: KeyOperationError.badLength) { try Self.perform(key, .decryptPremasterSecret([1, 2])) }
        #expect(throws: KeyOperationError.failed) {
            try Self.perform(key, .rawRSA([UInt8](repeating: 0xFF, count: 256)))
        }
    }

    @Test("OAEP: what the library encrypts comes back; everything else fails in one way")
    func oaep() throws {
        for rsa in Self.rsaKeys {
            let key = try Self.load(rsa.pemRepresentation)
            let other = try _RSA.Encryption.PublicKey(pemRepresentation: rsa.publicKey.pemRepresentation)
            for length in [0, 1, 32, 64] {
                let secret: [UInt8] = (0..<length).map { UInt8($0) }
                let sealed = Array(try other.encrypt(secret, padding: .PKCS1_OAEP_SHA256))
                #expect(try Self.perform(key, .decryptOAEP(sealed)) == secret)
                var changed: [UInt8] = sealed
                changed[changed.count / 2] ^= 1
                #expect(throws: KeyOperationError.failed) { try Self.perform(key, .decryptOAEP(changed)) }
            }
            // Other hashes, another padding, and no padding at all.
            let sha1 = Array(try other.encrypt([1, 2, 3], padding: .PKCS1_OAEP))
            #expect(throws: KeyOperationError.failed) { try Self.perform(key, .decryptOAEP(sha1)) }
            let size: Int = sha1.count
            let block: [UInt8] = [0, 2] + [UInt8](repeating: 7, count: size - 5) + [0, 1, 2]
            let pkcs1: [UInt8] = try KeyFixtures.publicOperation(rsa.publicKey, block)
            #expect(throws: KeyOperationError.failed) { try Self.perform(key, .decryptOAEP(pkcs1)) }
            for bytes in [[], [1], [UInt8](repeating: 0xFF, count: size), [UInt8](repeating: 0, count: size - 1)] {
                #expect(throws: KeyOperationError.self) { try Self.perform(key, .decryptOAEP(bytes)) }
            }
        }
        #expect(throws: KeyOperationError.wrongKeyType) {
            try SoftwareKey(.p256(PolicyFixtures.p256)).perform(.decryptOAEP([1]))
        }
    }

    @Test("OAEP: a block made by hand comes back; a wrong label, hash or first byte fails")
    func oaepBlocks() throws {
        let rsa = Self.rsaKeys[0]
        let key = try Self.load(rsa.pemRepresentation)
        let size: Int = rsa.keySizeInBits / 8
        // RFC 8017 section 7.1.1, steps by hand.
        func mask(_ seed: [UInt8], _ count: Int) -> [UInt8] {
            var output: [UInt8] = []
            var counter: UInt32 = 0
            while output.count < count {
                output += SHA256.hash(data: seed + withUnsafeBytes(of: counter.bigEndian) { Array($0) })
                counter += 1
            }
            return Array(output.prefix(count))
        }
        func sealed(_ message: [UInt8], label: String = "", first: UInt8 = 0, separator: UInt8 = 1) throws -> [UInt8] {
            let padding = [UInt8](repeating: 0, count: size - message.count - 2 * 32 - 2)
            let data: [UInt8] = Array(SHA256.hash(data: Array(label.utf8))) + padding + [separator] + message
            let seed = [UInt8](repeating: 0x5C, count: 32)
            let maskedData: [UInt8] = zip(data, mask(seed, data.count)).map { $0 ^ $1 }
            let maskedSeed: [UInt8] = zip(seed, mask(maskedData, 32)).map { $0 ^ $1 }
            return try KeyFixtures.publicOperation(rsa.publicKey, [first] + maskedSeed + maskedData)
        }
        let message: [UInt8] = Array("a secret of any length".utf8)
        #expect(try Self.perform(key, .decryptOAEP(try sealed(message))) == message)
        for wrong in [
            try sealed(message, label: "label"), try sealed(message, separator: 2), try sealed(message, separator: 0),
        ] {
            #expect(throws: KeyOperationError.failed) { try Self.perform(key, .decryptOAEP(wrong)) }
        }
        let first: [UInt8] = try sealed(message, first: 1)
        #expect(throws: KeyOperationError.failed) { try Self.perform(key, .decryptOAEP(first)) }
    }

    @Test("HPKE: what the library seals comes back; everything else fails in one way")
    func hpke() throws {
        let secret = PolicyFixtures.p256
        let key = SoftwareKey(.p256(secret))
        let recipient = try P256.KeyAgreement.PrivateKey(rawRepresentation: secret.rawRepresentation)
        let info: [UInt8] = [1, 2, 3]
        let authenticated: [UInt8] = [4, 5]
        let message = [UInt8](repeating: 9, count: 64)
        var sender = try HPKE.Sender(
            recipientKey: recipient.publicKey, ciphersuite: .P256_SHA256_AES_GCM_256, info: Data(info))
        let ciphertext = Array(try sender.seal(message, authenticating: authenticated))
        let point = Array(sender.encapsulatedKey)
        func open(
            _ point: [UInt8], _ ciphertext: [UInt8], _ info: [UInt8], _ authenticated: [UInt8]
        ) throws -> [UInt8] {
            try key.perform(
                .openHPKE(encapsulatedKey: point, ciphertext: ciphertext, info: info, authenticated: authenticated))
        }
        #expect(try open(point, ciphertext, info, authenticated) == message)
        var changed: [UInt8] = ciphertext
        changed[0] ^= 1
        var offCurve: [UInt8] = point
        offCurve[64] ^= 1
        let wrong: [([UInt8], [UInt8], [UInt8], [UInt8])] = [
            (point, changed, info, authenticated), (point, ciphertext, [1, 2, 4], authenticated),
            (point, ciphertext, info, [4, 6]), (offCurve, ciphertext, info, authenticated),
            ([], ciphertext, info, authenticated), (point, [], info, authenticated),
            (point, Array(ciphertext.prefix(15)), info, authenticated),
        ]
        for (point, ciphertext, info, authenticated) in wrong {
            #expect(throws: KeyOperationError.failed) { try open(point, ciphertext, info, authenticated) }
        }
        #expect(throws: KeyOperationError.wrongKeyType) {
            try SoftwareKey(.p384(PolicyFixtures.p384)).perform(
                .openHPKE(encapsulatedKey: point, ciphertext: ciphertext, info: info, authenticated: authenticated))
        }
    }

    @Test("Premaster selection without a branch agrees with the plain rule")
    func premasterSelection() {
        let substitute = [UInt8](repeating: 1, count: 48)
        let secret = [UInt8](repeating: 2, count: 48)
        let good: [UInt8] = [0, 2] + [UInt8](repeating: 5, count: 205) + [0] + secret
        #expect(RSABlock.premasterSecret(in: good, orElse: substitute) == secret)
        for index in 0..<208 {
            for value: UInt8 in [0, 1, 2, 0x80, 0xFF] where value != good[index] {
                var block: [UInt8] = good
                block[index] = value
                let filler: Bool = (2..<207).contains(index)
                let expected: [UInt8] = filler && value != 0 ? secret : substitute
                #expect(RSABlock.premasterSecret(in: block, orElse: substitute) == expected)
            }
        }
    }

    @Test("Only fast keys are used in place")
    func cost() throws {
        let operation = KeyOperation.signMessage([])
        #expect(try Self.load(P256.Signing.PrivateKey().pemRepresentation).cost(of: operation) == .inPlace)
        #expect(try Self.load(Self.rsaKeys[0].pemRepresentation).cost(of: operation) == .inPlace)
        let large = try _RSA.Signing.PrivateKey(keySize: .bits3072)
        #expect(try Self.load(large.pemRepresentation).cost(of: operation) == .offload)
    }
}
