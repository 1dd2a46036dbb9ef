import Crypto

/// Padding of RSA blocks (RFC 8017 section 9), for digests that somebody else made.
///
/// swift-crypto's RSA signing takes only digests that it computed itself. So the block is padded here, and goes through
/// RSA's bare private operation.
enum RSABlock {
    /// EMSA-PKCS1-v1_5 around a digest: 00 01 FF…FF 00 DigestInfo. Nil if the block is too short or the digest has not the
    /// algorithm's length.
    static func pkcs1(_ algorithm: DigestAlgorithm, digest: [UInt8], modulusLength: Int) -> [UInt8]? {
        guard digest.count == algorithm.length else { return nil }
        let info: [UInt8] = algorithm.digestInfoPrefix + digest
        let filler: Int = modulusLength - info.count - 3
        guard filler >= 8 else { return nil }
        return [0, 1] + [UInt8](repeating: 0xFF, count: filler) + [0] + info
    }

    /// EMSA-PSS around a digest, with MGF1 over the same hash. Nil for hashes that PSS is not used with here, and where
    /// lengths do not fit.
    ///
    /// - Parameter salt: As long as the digest, and random.
    static func pss(
        _ algorithm: DigestAlgorithm, digest: [UInt8], salt: [UInt8], modulusBits: Int
    ) -> [UInt8]? {
        switch algorithm {
        case .sha256: Self.pss(SHA256.self, digest, salt, modulusBits)
        case .sha384: Self.pss(SHA384.self, digest, salt, modulusBits)
        case .sha512: Self.pss(SHA512.self, digest, salt, modulusBits)
        case .md5SHA1, .sha1, .sha224: nil
        }
    }

    private static func pss<H: HashFunction>(
        _ hash: H.Type, _ digest: [UInt8], _ salt: [UInt8], _ modulusBits: Int
    ) -> [UInt8]? {
        let length: Int = H.Digest.byteCount
        let encodedBits: Int = modulusBits - 1
        let encodedLength: Int = (encodedBits + 7) / 8
        guard digest.count == length, salt.count == length, encodedLength >= 2 * length + 2 else { return nil }

        var hasher = H()
        hasher.update(data: [UInt8](repeating: 0, count: 8))
        hasher.update(data: digest)
        hasher.update(data: salt)
        let h: [UInt8] = Array(hasher.finalize())

        let maskedLength: Int = encodedLength - length - 1
        var masked: [UInt8] = [UInt8](repeating: 0, count: maskedLength - length - 1) + [1] + salt
        let mask: [UInt8] = Self.mgf1(hash, seed: h, length: maskedLength)
        for index in masked.indices { masked[index] ^= mask[index] }
        masked[0] &= 0xFF >> UInt8(8 * encodedLength - encodedBits)

        // The block is as long as the modulus, which is a byte more than the encoding where the modulus begins a byte.
        let modulusLength: Int = (modulusBits + 7) / 8
        return [UInt8](repeating: 0, count: modulusLength - encodedLength) + masked + h + [0xBC]
    }

    private static func mgf1<H: HashFunction>(_: H.Type, seed: [UInt8], length: Int) -> [UInt8] {
        var mask: [UInt8] = []
        mask.reserveCapacity(length + H.Digest.byteCount)
        var counter: UInt32 = 0
        while mask.count < length {
            var hasher = H()
            hasher.update(data: seed)
            hasher.update(data: withUnsafeBytes(of: counter.bigEndian) { Array($0) })
            mask.append(contentsOf: hasher.finalize())
            counter += 1
        }
        mask.removeLast(mask.count - length)
        return mask
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
