import Crypto
import Testing

@testable import TLSCrypto

/// Hashes, HMAC and HKDF against the vectors of RFC 4231, RFC 5869 and RFC 8448, and against swift-crypto.
@Suite struct HKDFTests {
    private static func expand(_ hash: HashAlgorithm, _ key: [UInt8], _ info: [UInt8], _ length: Int) -> [UInt8] {
        var output = [UInt8](repeating: 0xEE, count: length)
        output.withUnsafeMutableBytes { output in
            key.withUnsafeBytes { key in
                info.withUnsafeBytes { HKDF.expand(hash, key: key, info: $0, into: output) }
            }
        }
        return output
    }

    private static func extract(_ hash: HashAlgorithm, _ salt: [UInt8], _ material: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0xEE, count: hash.length)
        output.withUnsafeMutableBytes { output in
            salt.withUnsafeBytes { salt in
                material.withUnsafeBytes { HKDF.extract(hash, salt: salt, keyMaterial: $0, into: output) }
            }
        }
        return output
    }

    private static func expandLabel(
        _ secret: [UInt8], _ label: StaticString, _ context: [UInt8], _ length: Int
    ) -> [UInt8] {
        var output = [UInt8](repeating: 0xEE, count: length)
        output.withUnsafeMutableBytes { output in
            secret.withUnsafeBytes { secret in
                context.withUnsafeBytes {
                    HKDF.expandLabel(.sha256, secret: secret, label: label, context: $0, into: output)
                }
            }
        }
        return output
    }

    /// RFC 5869 appendix A.1 to A.3.
    @Test func rfc5869() {
        let first: [UInt8] = Self.extract(.sha256, Array(0x00...0x0C), [UInt8](repeating: 0x0B, count: 22))
        #expect(first == hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"))
        #expect(
            Self.expand(.sha256, first, Array(0xF0...0xF9), 42)
                == hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
        let second: [UInt8] = Self.extract(.sha256, Array(0x60...0xAF), Array(0x00...0x4F))
        #expect(second == hex("06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244"))
        #expect(
            Self.expand(.sha256, second, Array(0xB0...0xFF), 82)
                == hex(
                    """
                    b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8
                    367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87
                    """))
        let third: [UInt8] = Self.extract(.sha256, [], [UInt8](repeating: 0x0B, count: 22))
        #expect(third == hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"))
        #expect(
            Self.expand(.sha256, third, [], 42)
                == hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
    }

    /// Every number of blocks, up to the last one that HKDF has.
    @Test(arguments: HashAlgorithm.allCases)
    func expandsAsAnotherLibraryDoes(hash: HashAlgorithm) {
        var random = SplitMix(state: 3)
        for length in [1, hash.length - 1, hash.length, hash.length + 1, 3 * hash.length, 255 * hash.length] {
            let key: [UInt8] = random.bytes(hash.length)
            let info: [UInt8] = random.bytes(length % 50)
            let expected: [UInt8] =
                hash == .sha256
                ? Crypto.HKDF<SHA256>.expand(pseudoRandomKey: key, info: info, outputByteCount: length)
                    .withUnsafeBytes(Array.init)
                : Crypto.HKDF<SHA384>.expand(pseudoRandomKey: key, info: info, outputByteCount: length)
                    .withUnsafeBytes(Array.init)
            #expect(Self.expand(hash, key, info, length) == expected, "\(length) bytes")
        }
    }

    /// RFC 8448 §3: from the shared secret to the traffic secrets and keys.
    @Test func rfc8448() {
        let zeros = [UInt8](repeating: 0, count: 32)
        let empty: [UInt8] = HashAlgorithm.sha256.digest(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(empty == hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
        let early: [UInt8] = Self.extract(.sha256, [], zeros)
        #expect(early == hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"))
        let derived: [UInt8] = Self.expandLabel(early, "derived", empty, 32)
        #expect(derived == hex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"))
        let handshake: [UInt8] = Self.extract(
            .sha256, derived, hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"))
        #expect(handshake == hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"))
        let hellos: [UInt8] = Self.hellos.withUnsafeBytes { HashAlgorithm.sha256.digest($0) }
        let client: [UInt8] = Self.expandLabel(handshake, "c hs traffic", hellos, 32)
        #expect(client == hex("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"))
        #expect(Self.expandLabel(client, "key", [], 16) == hex("dbfaa693d1762c5b666af5d950258d01"))
        #expect(Self.expandLabel(client, "iv", [], 12) == hex("5bd3c71b836e0b76bb73265f"))
        #expect(
            Self.expandLabel(client, "finished", [], 32)
                == hex("b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4"))
    }

    /// ClientHello and ServerHello of that handshake.
    private static let hellos = hex(
        """
        010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece70000061301130313020100009100
        00000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201030104002300000033002600
        24001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e0403
        05030603020308040805080604010501060102010402050206020202002d00020101001c00024001
        020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d0020
        c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304
        """)

    /// Keys shorter than a block, as long as one, and longer, which are hashed first.
    @Test(arguments: HashAlgorithm.allCases)
    func authenticatesAsAnotherLibraryDoes(hash: HashAlgorithm) {
        var random = SplitMix(state: 7)
        for length in [0, 1, 48, 63, 64, 65, 127, 128, 129, 300] {
            let key: [UInt8] = random.bytes(length)
            let message: [UInt8] = random.bytes(length * 3)
            let expected: [UInt8] =
                hash == .sha256
                ? Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
                : Array(HMAC<SHA384>.authenticationCode(for: message, using: SymmetricKey(data: key)))
            var output = [UInt8](repeating: 0xEE, count: hash.length + 1)
            output.withUnsafeMutableBytes { output in
                key.withUnsafeBytes { key in message.withUnsafeBytes { hash.authenticate($0, key: key, into: output) } }
            }
            #expect(output == expected + [0xEE], "a key of \(length) bytes")
        }
    }

    @Test(arguments: HashAlgorithm.allCases)
    func hashesInPiecesAsInOne(hash: HashAlgorithm) {
        var random = SplitMix(state: 8)
        let bytes: [UInt8] = random.bytes(1000)
        let whole: [UInt8] = bytes.withUnsafeBytes { hash.digest($0) }
        #expect(whole == (hash == .sha256 ? Array(SHA256.hash(data: bytes)) : Array(SHA384.hash(data: bytes))))
        for step in [1, 7, 64, 128, 999] {
            let running = RunningHash(hash)
            for start in stride(from: 0, to: bytes.count, by: step) {
                bytes[start..<min(start + step, bytes.count)].withUnsafeBytes { running.update($0) }
            }
            #expect(running.finish() == whole, "\(step) at a time")
        }
    }
}
