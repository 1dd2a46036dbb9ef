import Crypto
import Foundation
import NIOCore
import Testing

@testable import RecordLayer

/// libcrypto's AEAD as we use it, against swift-crypto's.
@Suite struct AEADKeyTests {
    static let suites: [RecordSuite] = [.aes128GCMSHA256, .aes256GCMSHA384, .chaCha20Poly1305SHA256]

    struct Input {
        var key: Secret
        var nonce: [UInt8]
        var data: [UInt8]
        var plaintext: [UInt8]

        init(_ cipher: RecordCipher, length: Int, _ random: inout SplitMix) {
            key = Secret(random.bytes(cipher.keyLength).readableBytesView)
            nonce = Array(random.bytes(12).readableBytesView)
            data = Array(random.bytes(5).readableBytesView)
            plaintext = Array(random.bytes(length).readableBytesView)
        }

        /// Ciphertext and tag, by swift-crypto.
        func reference(_ cipher: RecordCipher) throws -> [UInt8] {
            let key: SymmetricKey = key.withUnsafeBytes { SymmetricKey(data: $0) }
            if cipher == .chaCha20Poly1305 {
                let box = try ChaChaPoly.seal(
                    plaintext, using: key, nonce: ChaChaPoly.Nonce(data: nonce), authenticating: data)
                return Array(box.ciphertext) + Array(box.tag)
            }
            let box = try AES.GCM.seal(
                plaintext, using: key, nonce: AES.GCM.Nonce(data: nonce), authenticating: data)
            return Array(box.ciphertext) + Array(box.tag)
        }
    }

    /// In place, out of place, and with a trailer of every kind; one key for all nonces.
    @Test(arguments: suites)
    func sealsAsAnotherLibraryDoes(suite: RecordSuite) throws {
        var random = SplitMix(state: UInt64(suite.rawValue))
        var input = Input(suite.cipher, length: 0, &random)
        var key = AEADKey(suite.cipher, key: input.key, .seal)
        for length in Array(0...70) + [255, 256, 287, 288, 289, 1023, 4096, 16_383, 16_384] {
            input.plaintext = Array(random.bytes(length).readableBytesView)
            input.nonce = Array(random.bytes(12).readableBytesView)
            let expected: [UInt8] = try input.reference(suite.cipher)
            for trailer in Set([0, 1, 17, length]) where trailer <= length {
                let content = Array(input.plaintext.dropLast(trailer))
                var output: [UInt8] =
                    [UInt8](repeating: 0xEE, count: content.count) + input.plaintext.suffix(trailer)
                    + [UInt8](repeating: 0xEE, count: 16)
                try #require(seal(&key, content, trailer: trailer, into: &output, input))
                #expect(output == expected)
            }
            var inPlace: [UInt8] = input.plaintext + [UInt8](repeating: 0xEE, count: 16)
            try #require(seal(&key, nil, trailer: 0, into: &inPlace, input))
            #expect(inPlace == expected)
        }
    }

    @Test(arguments: suites)
    func opensWhatAnotherLibrarySealed(suite: RecordSuite) throws {
        var random = SplitMix(state: UInt64(suite.rawValue) + 1)
        for length in Array(0...70) + [1000, 16_385] {
            let input = Input(suite.cipher, length: length, &random)
            var key = AEADKey(suite.cipher, key: input.key, .open)
            var output = [UInt8](repeating: 0xEE, count: length)
            #expect(open(&key, try input.reference(suite.cipher), into: &output, input))
            #expect(output == input.plaintext)
        }
    }

    /// Whatever is altered, nothing of the plaintext is left where it would have gone, and the key opens the next record.
    @Test(arguments: suites)
    func forgeriesLeaveNothing(suite: RecordSuite) throws {
        var random = SplitMix(state: UInt64(suite.rawValue) + 2)
        let input = Input(suite.cipher, length: 700, &random)
        var key = AEADKey(suite.cipher, key: input.key, .open)
        let sealed: [UInt8] = try input.reference(suite.cipher)
        let nothing = [UInt8](repeating: 0, count: 700)
        for index in Array(stride(from: 0, to: sealed.count, by: 5)) + [699, 700, 715] {
            var altered: [UInt8] = sealed
            altered[index] ^= 0x10
            var output = [UInt8](repeating: 0xEE, count: 700)
            #expect(!open(&key, altered, into: &output, input))
            #expect(output == nothing)
        }
        var other: Input = input
        other.data[4] ^= 1
        var output = [UInt8](repeating: 0xEE, count: 700)
        #expect(!open(&key, sealed, into: &output, other))
        #expect(output == nothing)
        other = input
        other.nonce[0] ^= 1
        #expect(!open(&key, sealed, into: &output, other))
        #expect(output == nothing)
        // Too short for a tag.
        #expect(!open(&key, Array(sealed.prefix(15)), into: &output, input))
        #expect(open(&key, sealed, into: &output, input))
        #expect(output == input.plaintext)
    }

    /// A key of the wrong length makes a key that does nothing, rather than one that reads beyond it.
    @Test(arguments: suites)
    func aWrongKeyLengthSealsNothing(suite: RecordSuite) throws {
        var random = SplitMix(state: 9)
        let input = Input(suite.cipher, length: 20, &random)
        var key = AEADKey(suite.cipher, key: Secret([1, 2, 3]), .seal)
        var output = [UInt8](repeating: 0, count: 36)
        #expect(!seal(&key, input.plaintext, trailer: 0, into: &output, input))
    }

    private func seal(
        _ key: inout AEADKey, _ content: [UInt8]?, trailer: Int, into output: inout [UInt8], _ input: Input
    ) -> Bool {
        output.withUnsafeMutableBytes { output in
            input.nonce.withUnsafeBytes { nonce in
                input.data.withUnsafeBytes { data in
                    guard let nonce = nonce.baseAddress else { return false }
                    guard let content else {
                        return key.seal(nil, trailer: trailer, into: output, nonce: nonce, authenticating: data)
                    }
                    return content.withUnsafeBytes {
                        key.seal($0, trailer: trailer, into: output, nonce: nonce, authenticating: data)
                    }
                }
            }
        }
    }

    private func open(_ key: inout AEADKey, _ sealed: [UInt8], into output: inout [UInt8], _ input: Input) -> Bool {
        // An empty array has no address.
        let count: Int = output.count
        output.append(0)
        defer { output.removeLast() }
        return output.withUnsafeMutableBytes { output in
            sealed.withUnsafeBytes { sealed in
                input.nonce.withUnsafeBytes { nonce in
                    input.data.withUnsafeBytes { data in
                        guard let nonce = nonce.baseAddress else { return false }
                        return key.open(
                            sealed, into: UnsafeMutableRawBufferPointer(rebasing: output[..<count]), nonce: nonce,
                            authenticating: data)
                    }
                }
            }
        }
    }
}
