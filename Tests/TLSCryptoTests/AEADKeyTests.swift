import Crypto
import NIOCore
import Synchronization
import Testing

@testable import TLSCrypto

/// BoringSSL's AEADs as this module uses them, against published answers and swift-crypto.
@Suite struct AEADKeyTests {
    static let tlsAlgorithms: [AEADAlgorithm] = [.aes128GCM, .aes256GCM, .chaCha20Poly1305]

    static let gcmPlaintext = hex(
        """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657
        ba637b39
        """)
    static let sunscreen = Array(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
            .utf8)

    /// The GCM specification's test cases 4 and 16, RFC 8439 §2.8.2, and appendix A.3.1 of the XChaCha draft.
    static let knownAnswers: [(algorithm: AEADAlgorithm, key: [UInt8], message: Message, sealed: [UInt8])] = [
        (
            .aes128GCM, hex("feffe9928665731c6d6a8f9467308308"),
            Message(
                nonce: hex("cafebabefacedbaddecaf888"), data: hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                plaintext: gcmPlaintext),
            hex(
                """
                42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97
                3d58e091 5bc94fbc3221a5db94fae95ae7121a47
                """)
        ),
        (
            .aes256GCM, hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
            Message(
                nonce: hex("cafebabefacedbaddecaf888"), data: hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                plaintext: gcmPlaintext),
            hex(
                """
                522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a
                bcc9f662 76fc6ece0f4e1768cddf8853bb2d551b
                """)
        ),
        (
            .chaCha20Poly1305, Array(0x80...0x9F),
            Message(
                nonce: hex("070000004041424344454647"), data: hex("50515253c0c1c2c3c4c5c6c7"), plaintext: sunscreen),
            hex(
                """
                d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b29
                05d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b
                6116 1ae10b594f09e26a7e902ecbd0600691
                """)
        ),
        (
            .xChaCha20Poly1305, Array(0x80...0x9F),
            Message(nonce: Array(0x40...0x57), data: hex("50515253c0c1c2c3c4c5c6c7"), plaintext: sunscreen),
            hex(
                """
                bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216
                cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13
                b52e c0875924c1c7987947deafd8780acf49
                """)
        ),
    ]

    @Test func knownAnswersBothWays() {
        for answer in Self.knownAnswers {
            let key = AEADKey(answer.algorithm, answer.key)
            for trailer in [0, 1, 20] {
                let (isSealed, output) = answer.message.seal(key, trailer: trailer)
                #expect(isSealed && output == answer.sealed, "\(answer.algorithm), trailer \(trailer)")
            }
            let (isAuthentic, plaintext) = answer.message.open(answer.sealed, key)
            #expect(isAuthentic && plaintext == answer.message.plaintext, "\(answer.algorithm)")
        }
    }

    /// Ciphertext and tag, by swift-crypto.
    private static func reference(_ algorithm: AEADAlgorithm, _ key: [UInt8], _ message: Message) throws -> [UInt8] {
        let key = SymmetricKey(data: key)
        if algorithm == .chaCha20Poly1305 {
            let box = try ChaChaPoly.seal(
                message.plaintext, using: key, nonce: ChaChaPoly.Nonce(data: message.nonce),
                authenticating: message.data)
            return Array(box.ciphertext) + Array(box.tag)
        }
        let box = try AES.GCM.seal(
            message.plaintext, using: key, nonce: AES.GCM.Nonce(data: message.nonce), authenticating: message.data)
        return Array(box.ciphertext) + Array(box.tag)
    }

    /// Out of place, and with a trailer of every kind; one key for all nonces.
    @Test(arguments: tlsAlgorithms)
    func sealsAndOpensAsAnotherLibraryDoes(algorithm: AEADAlgorithm) throws {
        var random = SplitMix(state: UInt64(algorithm.keyLength))
        let keyBytes: [UInt8] = random.bytes(algorithm.keyLength)
        let key = AEADKey(algorithm, keyBytes)
        for length in Array(0...70) + [255, 256, 287, 288, 289, 1023, 4096, 16_383, 16_384, 16_385] {
            let message = Message(
                nonce: random.bytes(12), data: random.bytes(length % 14), plaintext: random.bytes(length))
            let expected: [UInt8] = try Self.reference(algorithm, keyBytes, message)
            for trailer in Set([0, 1, 17, length]) where trailer <= length {
                let (isSealed, output) = message.seal(key, trailer: trailer)
                #expect(isSealed && output == expected, "\(length) bytes, trailer \(trailer)")
            }
            let (isAuthentic, output) = message.open(expected, key)
            #expect(isAuthentic && output == message.plaintext, "\(length) bytes")
        }
    }

    /// Both directions inside of one buffer, with other bytes around them.
    @Test(arguments: AEADAlgorithm.allCases)
    func worksInPlaceInsideOfAByteBuffer(algorithm: AEADAlgorithm) {
        var random = SplitMix(state: 5)
        let key = AEADKey(algorithm, random.bytes(algorithm.keyLength))
        let nonce: [UInt8] = random.bytes(algorithm.nonceLength)
        let content: [UInt8] = random.bytes(1000)
        var buffer = ByteBuffer(bytes: [1, 2, 3, 4, 5] + content + [UInt8](repeating: 0xEE, count: 17) + [6, 7])
        let type: [UInt8] = [23]
        let sealed = 5..<(5 + 1000 + 17)
        let isSealed: Bool = nonce.withUnsafeBytes { nonce in
            buffer.withUnsafeMutableReadableBytes { bytes in
                type.withUnsafeBytes { type in
                    key.seal(
                        UnsafeRawBufferPointer(rebasing: bytes[5..<1005]), trailer: type,
                        into: UnsafeMutableRawBufferPointer(rebasing: bytes[sealed]), nonce: nonce,
                        authenticating: UnsafeRawBufferPointer(rebasing: bytes[..<5]))
                }
            }
        }
        #expect(isSealed)
        #expect(buffer.getBytes(at: 5, length: 1000) != content)
        let isAuthentic: Bool = nonce.withUnsafeBytes { nonce in
            buffer.withUnsafeMutableReadableBytes { bytes in
                key.open(
                    UnsafeRawBufferPointer(rebasing: bytes[sealed]),
                    into: UnsafeMutableRawBufferPointer(rebasing: bytes[5..<1006]), nonce: nonce,
                    authenticating: UnsafeRawBufferPointer(rebasing: bytes[..<5]))
            }
        }
        #expect(isAuthentic)
        #expect(buffer.getBytes(at: 0, length: 1006) == [1, 2, 3, 4, 5] + content + [23])
        #expect(buffer.getBytes(at: sealed.upperBound, length: 2) == [6, 7])
    }

    /// Whatever is altered, nothing of the plaintext is left where it would have gone, and the key opens the next message.
    @Test(arguments: AEADAlgorithm.allCases)
    func forgeriesLeaveNothing(algorithm: AEADAlgorithm) {
        var random = SplitMix(state: UInt64(algorithm.keyLength) + 2)
        let key = AEADKey(algorithm, random.bytes(algorithm.keyLength))
        let message = Message(
            nonce: random.bytes(algorithm.nonceLength), data: random.bytes(5), plaintext: random.bytes(700))
        let sealed: [UInt8] = message.seal(key).output
        let nothing = [UInt8](repeating: 0, count: 700)
        for index in Array(stride(from: 0, to: sealed.count, by: 5)) + [699, 700, 715] {
            var altered: [UInt8] = sealed
            altered[index] ^= 0x10
            let (isAuthentic, output) = message.open(altered, key)
            #expect(!isAuthentic && output == nothing, "byte \(index)")
        }
        var other: Message = message
        other.data[4] ^= 1
        #expect(other.open(sealed, key) == (false, nothing))
        other = message
        other.nonce[0] ^= 1
        #expect(other.open(sealed, key) == (false, nothing))
        // Too short for a tag.
        #expect(message.open(Array(sealed.prefix(15)), key) == (false, []))
        #expect(message.open([], key) == (false, []))
        #expect(message.open(sealed, key) == (true, message.plaintext))
    }

    /// A length that does not fit is refused, and nothing is read or written beyond.
    @Test(arguments: AEADAlgorithm.allCases)
    func wrongLengthsAreRefused(algorithm: AEADAlgorithm) {
        var random = SplitMix(state: 9)
        let message = Message(
            nonce: random.bytes(algorithm.nonceLength), data: random.bytes(5), plaintext: random.bytes(20))
        for length in [0, 3, algorithm.keyLength - 1, algorithm.keyLength + 1] {
            let key = AEADKey(algorithm, random.bytes(length))
            #expect(message.seal(key) == (false, [UInt8](repeating: 0, count: 36)), "a key of \(length) bytes")
        }
        let key = AEADKey(algorithm, random.bytes(algorithm.keyLength))
        let sealed: [UInt8] = message.seal(key).output
        for length in [0, algorithm.nonceLength - 1, algorithm.nonceLength + 1] {
            var other: Message = message
            other.nonce = random.bytes(length)
            #expect(!other.seal(key).isSealed, "a nonce of \(length) bytes")
            #expect(!other.open(sealed, key).isAuthentic, "a nonce of \(length) bytes")
        }
        for room in [0, 19, 35, 37] {
            var output = [UInt8](repeating: 0xEE, count: room)
            let isSealed: Bool = output.withUnsafeMutableBytes { output in
                message.plaintext.withUnsafeBytes { content in
                    message.nonce.withUnsafeBytes {
                        key.seal(content, into: output, nonce: $0, authenticating: content)
                    }
                }
            }
            #expect(!isSealed && output == [UInt8](repeating: 0, count: room), "room for \(room) bytes")
        }
        for room in [0, 19, 21] {
            var output = [UInt8](repeating: 0xEE, count: room)
            let isAuthentic: Bool = output.withUnsafeMutableBytes { output in
                sealed.withUnsafeBytes { sealed in
                    message.nonce.withUnsafeBytes { nonce in
                        message.data.withUnsafeBytes {
                            key.open(sealed, into: output, nonce: nonce, authenticating: $0)
                        }
                    }
                }
            }
            #expect(!isAuthentic && output == [UInt8](repeating: 0, count: room), "room for \(room) bytes")
        }
    }

    /// One key, used by several threads at a time.
    @Test(arguments: AEADAlgorithm.allCases)
    func oneKeyServesSeveralThreads(algorithm: AEADAlgorithm) async {
        final class Shared: Sendable {
            let key: AEADKey
            init(_ key: consuming AEADKey) { self.key = key }
        }
        var random = SplitMix(state: 11)
        let shared = Shared(AEADKey(algorithm, random.bytes(algorithm.keyLength)))
        let good: Int = await withTaskGroup(of: Int.self) { group in
            for task in 0..<8 {
                group.addTask {
                    var random = SplitMix(state: UInt64(100 + task))
                    return (0..<500).count { _ in
                        let message = Message(
                            nonce: random.bytes(algorithm.nonceLength), data: [UInt8(task)],
                            plaintext: random.bytes(100))
                        let sealed: [UInt8] = message.seal(shared.key, trailer: 1).output
                        return message.open(sealed, shared.key) == (true, message.plaintext)
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(good == 8 * 500)
    }
}
