import Crypto

/// A secret encrypted to the origin's certificate key, and all that a key store needs to decrypt it.
public enum SealedSecret: Equatable, Sendable {
    /// RSAES-OAEP (RFC 8017) with SHA-256 for hash and MGF1, and an empty label.
    case oaep(ciphertext: [UInt8])
    /// HPKE (RFC 9180), base mode: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
    case hpke(encapsulatedKey: [UInt8], ciphertext: [UInt8], info: [UInt8], authenticated: [UInt8])

    /// Bytes of an uncompressed P-256 point.
    static let encapsulatedKeyLength = 65
    /// Bytes of an encrypted secret for P-256: point, secret, tag.
    static let hpkeLength = encapsulatedKeyLength + NativeNumbers.randomLength + NativeNumbers.tagLength

    /// - Throws: ``NativeError/malformed(_:)`` for a length that no secret has; lengths are no secret.
    init(_ kind: NativeKeyKind, _ bytes: [UInt8], info: [UInt8], binding: [UInt8]) throws(NativeError) {
        switch kind {
        case .rsa:
            guard (256...512).contains(bytes.count) else { throw .malformed("encrypted secret") }
            self = .oaep(ciphertext: bytes)
        case .p256:
            guard bytes.count == Self.hpkeLength else { throw .malformed("encrypted secret") }
            self = .hpke(
                encapsulatedKey: Array(bytes[..<Self.encapsulatedKeyLength]),
                ciphertext: Array(bytes[Self.encapsulatedKeyLength...]), info: info, authenticated: binding)
        }
    }

    /// The secret in what the key store decrypted, or `substitute` where that is nothing, or not bound to this handshake.
    ///
    /// RSA's plaintext is the secret and the binding; HPKE authenticates the binding itself. Which of the two came out
    /// shows neither in the result's length nor, as far as this function goes, in the time taken.
    static func open(
        _ kind: NativeKeyKind, plaintext: [UInt8]?, binding: [UInt8], orElse substitute: [UInt8]
    ) -> [UInt8] {
        let length: Int = kind == .rsa ? 2 * NativeNumbers.randomLength : NativeNumbers.randomLength
        let candidate: [UInt8] = plaintext ?? []
        var wrong: UInt8 = candidate.count == length ? 0 : 1
        // As many bytes are looked at, whatever came.
        let padded: [UInt8] = (0..<length).map { $0 < candidate.count ? candidate[$0] : 0 }
        if kind == .rsa {
            for index in 0..<NativeNumbers.randomLength {
                wrong |= padded[NativeNumbers.randomLength + index] ^ binding[index]
            }
        }
        // All ones where nothing was wrong, else all zeroes.
        let good: UInt8 = 0 &- UInt8(truncatingIfNeeded: (UInt16(wrong) &- 1) >> 15)
        return (0..<NativeNumbers.randomLength).map { (padded[$0] & good) | (substitute[$0] & ~good) }
    }
}
