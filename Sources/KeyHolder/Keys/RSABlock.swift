/// RSA blocks (RFC 8017) that go through the bare private operation.
///
/// Signatures with PKCS #1 v1.5 are padded here, so that the old hashes of stock peers do not depend on what the system's
/// libcrypto is configured to sign; and premaster secrets are taken out here, in constant time.
enum RSABlock {
    /// EMSA-PKCS1-v1_5 around a digest: 00 01 FF…FF 00 DigestInfo. Nil if the block is too short or the digest has not the
    /// algorithm's length.
    static func pkcs1(_ algorithm: DigestAlgorithm, digest: [UInt8], modulusLength: Int) -> [UInt8]? {
        guard digest.count == algorithm.length else { return nil }
        let info: [UInt8] = algorithm.digestInfo(digest)
        let filler: Int = modulusLength - info.count - 3
        guard filler >= 8 else { return nil }
        return [0, 1] + [UInt8](repeating: 0xFF, count: filler) + [0] + info
    }

    /// The length of a TLS premaster secret.
    static let premasterLength: Int = 48

    /// The last 48 bytes of `block` if it is 00 02, non-zero filler, 00 and 48 bytes; `substitute` otherwise. Which of the
    /// two it was shows neither in the result's length nor in the time taken.
    ///
    /// - Parameters:
    ///   - block: What the private operation gave; 59 bytes or more.
    ///   - substitute: 48 bytes.
    static func premasterSecret(in block: [UInt8], orElse substitute: [UInt8]) -> [UInt8] {
        precondition(block.count >= Self.premasterLength + 11 && substitute.count == Self.premasterLength)
        let separator: Int = block.count - Self.premasterLength - 1
        var wrong: UInt8 = block[0] | (block[1] ^ 2) | block[separator]
        for index in 2..<separator {
            wrong |= Self.isZero(block[index])
        }
        // All ones where the block is good, else all zeroes.
        let good: UInt8 = 0 &- Self.isZero(wrong)
        return (0..<Self.premasterLength).map { index in
            (block[separator + 1 + index] & good) | (substitute[index] & ~good)
        }
    }

    /// 1 for 0, 0 for anything else, without a branch.
    private static func isZero(_ byte: UInt8) -> UInt8 {
        UInt8(truncatingIfNeeded: (UInt16(byte) &- 1) >> 15)
    }
}

extension DigestAlgorithm {
    /// DigestInfo around a digest of this algorithm (RFC 8017 section 9.2), DER. TLS 1.0's MD5 and SHA-1 pair stays bare.
    public func digestInfo(_ digest: [UInt8]) -> [UInt8] { self.digestInfoPrefix + digest }

    /// The DER of DigestInfo up to the digest itself (RFC 8017 section 9.2, note 1). TLS 1.0's MD5 and SHA-1 pair has none.
    fileprivate var digestInfoPrefix: [UInt8] {
        switch self {
        case .md5SHA1: []
        case .sha1: [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00, 0x04, 0x14]
        case .sha224: Self.sha2Prefix(0x04, length: 28)
        case .sha256: Self.sha2Prefix(0x01, length: 32)
        case .sha384: Self.sha2Prefix(0x02, length: 48)
        case .sha512: Self.sha2Prefix(0x03, length: 64)
        }
    }

    private static func sha2Prefix(_ arc: UInt8, length: UInt8) -> [UInt8] {
        [
            0x30, 17 + length, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc, 0x05, 0x00,
            0x04, length,
        ]
    }
}
