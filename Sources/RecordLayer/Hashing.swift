import TLSCrypto

/// The hash functions and MACs of the suites.
extension RecordHash {
    var algorithm: HashAlgorithm { self == .sha256 ? .sha256 : .sha384 }

    /// HMAC (RFC 2104) over the bytes.
    func authenticate(_ bytes: UnsafeRawBufferPointer, key: Secret) -> Secret {
        Secret(count: length) { output in
            key.withUnsafeBytes { algorithm.authenticate(bytes, key: $0, into: output) }
        }
    }
}

extension RecordCipher {
    var algorithm: AEADAlgorithm {
        switch self {
        case .aes128GCM: return .aes128GCM
        case .aes256GCM: return .aes256GCM
        case .chaCha20Poly1305: return .chaCha20Poly1305
        }
    }
}

extension AEADKey {
    /// A key that protects or opens records.
    init(_ cipher: RecordCipher, key: Secret) {
        self = key.withUnsafeBytes { AEADKey(cipher.algorithm, key: $0) }
    }

    /// The write key of a traffic secret (RFC 8446 §7.3).
    init(_ suite: RecordSuite, trafficSecret: Secret) {
        self = withUnsafeTemporaryAllocation(byteCount: suite.cipher.keyLength, alignment: 8) { key in
            defer { SecretMemory.erase(key) }
            trafficSecret.withUnsafeBytes {
                HKDF.expandLabel(suite.hash.algorithm, secret: $0, label: "key", into: key)
            }
            return AEADKey(suite.cipher.algorithm, key: UnsafeRawBufferPointer(key))
        }
    }
}
