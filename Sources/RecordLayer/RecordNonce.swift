import TLSCrypto

/// Writes the nonces of a direction's records, and the data that TLS 1.2 authenticates beside each.
struct RecordNonce: Sendable {
    /// TLS 1.2 with AES-GCM: 4 bytes of IV and 8 that go over the wire (RFC 5288 §3). Otherwise the IV XOR the sequence
    /// number (RFC 8446 §5.3, RFC 7905 §2).
    let isExplicit: Bool
    private let high: UInt32
    private let low: UInt64

    /// The IV has the length that the suite calls for: 4 bytes for an explicit nonce, otherwise 12.
    init(suite: RecordSuite, iv: Secret) {
        self = iv.withUnsafeBytes { RecordNonce(isExplicit: suite.ivLength == 4, iv: $0) }
    }

    /// With the IV of a traffic secret (RFC 8446 §7.3).
    init(suite: RecordSuite, trafficSecret: Secret) {
        self = withUnsafeTemporaryAllocation(byteCount: RecordCipher.nonceLength, alignment: 8) { iv in
            defer { SecretMemory.erase(iv) }
            trafficSecret.withUnsafeBytes {
                HKDF.expandLabel(suite.hash.algorithm, secret: $0, label: "iv", into: iv)
            }
            return RecordNonce(isExplicit: false, iv: UnsafeRawBufferPointer(iv))
        }
    }

    private init(isExplicit: Bool, iv: UnsafeRawBufferPointer) {
        self.isExplicit = isExplicit
        high = UInt32(bigEndian: iv.loadUnaligned(as: UInt32.self))
        low = iv.count == 12 ? UInt64(bigEndian: iv.loadUnaligned(fromByteOffset: 4, as: UInt64.self)) : 0
    }

    /// - Parameter number: the sequence number; or the explicit part where there is one.
    func write(_ number: UInt64, to nonce: UnsafeMutableRawBufferPointer) {
        nonce.storeBytes(of: high.bigEndian, as: UInt32.self)
        nonce.storeBytes(of: (low ^ number).bigEndian, toByteOffset: 4, as: UInt64.self)
    }

    /// The 13 bytes of RFC 5246 §6.2.3.3.
    static func writeTLS12Data(
        sequence: UInt64, type: UInt8, length: Int, to data: UnsafeMutableRawBufferPointer
    ) {
        data.storeBytes(of: sequence.bigEndian, as: UInt64.self)
        data.storeBytes(of: type, toByteOffset: 8, as: UInt8.self)
        data.storeBytes(of: RecordVersion.tls12.rawValue.bigEndian, toByteOffset: 9, as: UInt16.self)
        data.storeBytes(of: UInt16(truncatingIfNeeded: length).bigEndian, toByteOffset: 11, as: UInt16.self)
    }
}
