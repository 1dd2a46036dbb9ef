import CLibCrypto
import Crypto
import CryptoExtras
import RecordLayer

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// An RSA private key in the system's libcrypto.
///
/// OpenSSL's RSA is up to twice as fast as swift-crypto's, and it pads any digest for PSS. Its private operation is
/// blinded, runs in constant time, and checks its result against the public key before it gives it out, so that a fault in
/// the computation does not reveal a factor. swift-crypto still reads and validates the key.
struct RSASecret: Sendable {
    let publicKey: _RSA.Signing.PublicKey
    let bits: Int
    private let key: Handle
    /// Makes the substitute for a ciphertext with wrong padding. Never leaves this process.
    private let rejectionKey: SymmetricKey

    /// - Throws: ``KeyOperationError/failed`` if libcrypto does not take the key.
    init(_ key: _RSA.Signing.PrivateKey) throws(KeyOperationError) {
        self.publicKey = key.publicKey
        self.bits = key.keySizeInBits
        self.key = try Handle(der: key.derRepresentation)
        self.rejectionKey = SymmetricKey(size: .bits256)
    }

    private var modulusLength: Int { (self.bits + 7) / 8 }

    func signPKCS1(_ algorithm: DigestAlgorithm, _ digest: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        guard let block = RSABlock.pkcs1(algorithm, digest: digest, modulusLength: self.modulusLength) else {
            throw .badLength
        }
        return try self.raw(block)
    }

    /// EMSA-PSS with a salt as long as the digest, MGF1 over the same hash (RFC 8017 section 9.1, RFC 8446 section 4.2.3).
    func signPSS(_ algorithm: DigestAlgorithm, _ digest: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        let hash: OpaquePointer?
        switch algorithm {
        case .sha256: hash = EVP_sha256()
        case .sha384: hash = EVP_sha384()
        case .sha512: hash = EVP_sha512()
        case .md5SHA1, .sha1, .sha224: throw .badLength
        }
        guard digest.count == algorithm.length else { throw .badLength }
        return try self.key.run(length: self.modulusLength) { context, output, length in
            EVP_PKEY_sign_init(context) == 1
                && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
                && EVP_PKEY_CTX_set_signature_md(context, hash) == 1
                && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1
                && EVP_PKEY_sign(context, output, &length, digest, digest.count) == 1
        }
    }

    /// The bare private operation: a block as long as the modulus, and smaller than it.
    func raw(_ block: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        guard block.count == self.modulusLength else { throw .badLength }
        return try self.key.run(length: self.modulusLength) { context, output, length in
            EVP_PKEY_decrypt_init(context) == 1
                && EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1
                && EVP_PKEY_decrypt(context, output, &length, block, block.count) == 1
        }
    }

    /// RSAES-OAEP (RFC 8017 section 7.1.2) with SHA-256 for hash and MGF1 and an empty label.
    func decryptOAEP(_ ciphertext: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        guard ciphertext.count == self.modulusLength else { throw .badLength }
        return try self.key.run(length: self.modulusLength, isExact: false) { context, output, length in
            EVP_PKEY_decrypt_init(context) == 1
                && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1
                && EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1
                && EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1
                && EVP_PKEY_decrypt(context, output, &length, ciphertext, ciphertext.count) == 1
        }
    }

    /// Implicit rejection: a wrong padding gives 48 bytes drawn from a secret key and the ciphertext, so that asking about
    /// many ciphertexts (Bleichenbacher's attack, ROBOT) tells nothing.
    ///
    /// libcrypto is not asked to judge the padding: what it answers, and how fast, would depend on it.
    func premasterSecret(_ ciphertext: [UInt8]) throws(KeyOperationError) -> [UInt8] {
        var block: [UInt8] = try self.raw(ciphertext)
        defer { block.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        let substitute: [UInt8] = Array(HMAC<SHA384>.authenticationCode(for: ciphertext, using: self.rejectionKey))
        return RSABlock.premasterSecret(in: block, orElse: substitute)
    }

    /// PKCS #8 in DER.
    func privateKeyInfo() -> Secret? { self.key.privateKeyInfo() }

    /// Owns an `EVP_PKEY`, and with it the only copy of the key in libcrypto, which erases it when it is freed.
    ///
    /// The key is never changed after `init`. libcrypto lets threads use such a key at the same time, and guards the
    /// blinding that they share with a lock of its own.
    private final class Handle: @unchecked Sendable {
        private let pointer: OpaquePointer

        /// - Parameter der: PKCS #1 or PKCS #8.
        init(der: Data) throws(KeyOperationError) {
            let pointer: OpaquePointer? = der.withUnsafeBytes { bytes in
                var start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
                return d2i_AutoPrivateKey(nil, &start, bytes.count)
            }
            guard let pointer else {
                ERR_clear_error()
                throw .failed
            }
            self.pointer = pointer
        }

        deinit { EVP_PKEY_free(self.pointer) }

        func privateKeyInfo() -> Secret? {
            guard let info: OpaquePointer = EVP_PKEY2PKCS8(self.pointer) else {
                ERR_clear_error()
                return nil
            }
            // It erases the key in it.
            defer { PKCS8_PRIV_KEY_INFO_free(info) }
            var bytes: UnsafeMutablePointer<UInt8>?
            let count: Int = Int(i2d_PKCS8_PRIV_KEY_INFO(info, &bytes))
            guard count > 0, let bytes else {
                ERR_clear_error()
                return nil
            }
            defer { CRYPTO_clear_free(bytes, count, #file, #line) }
            return Secret(UnsafeBufferPointer(start: bytes, count: count))
        }

        /// Runs one operation, which gives `length` bytes, or at most as many if not `isExact`.
        func run(
            length: Int, isExact: Bool = true, _ body: (OpaquePointer, UnsafeMutablePointer<UInt8>?, inout Int) -> Bool
        ) throws(KeyOperationError) -> [UInt8] {
            // A context costs a hundredth of what RSA does: not worth one that outlives the call.
            guard let context: OpaquePointer = EVP_PKEY_CTX_new_from_pkey(nil, self.pointer, nil) else {
                ERR_clear_error()
                throw .failed
            }
            defer { EVP_PKEY_CTX_free(context) }
            var isDone = false
            let result: [UInt8] = [UInt8](unsafeUninitializedCapacity: length) { output, count in
                var written: Int = length
                isDone =
                    body(context, output.baseAddress, &written) && (isExact ? written == length : written <= length)
                count = isDone ? written : 0
            }
            guard isDone else {
                ERR_clear_error()
                throw .failed
            }
            return result
        }
    }
}
