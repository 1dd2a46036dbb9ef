import TLSCrypto

/// Bytes from hexadecimal text; white space between them is for the eye.
func hex(_ text: String) -> [UInt8] {
    let digits: [UInt8] = text.compactMap { $0.hexDigitValue.map(UInt8.init) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Repeatable random numbers, so that a failure can be seen again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z: UInt64 = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

extension AEADKey {
    init(_ algorithm: AEADAlgorithm, _ key: [UInt8]) {
        self = key.span.withUnsafeBytes { AEADKey(algorithm, key: $0) }
    }
}

/// What goes into one message.
struct Message {
    var nonce: [UInt8]
    var data: [UInt8]
    var plaintext: [UInt8]

    /// Into fresh memory; nil if the key refuses, with what is left there then.
    func seal(_ key: borrowing AEADKey, trailer: Int = 0) -> (isSealed: Bool, output: [UInt8]) {
        var output = [UInt8](repeating: 0xEE, count: self.plaintext.count + AEADAlgorithm.tagLength)
        let content = Array(self.plaintext.dropLast(trailer))
        let tail = Array(self.plaintext.suffix(trailer))
        let isSealed: Bool = output.withUnsafeMutableBytes { output in
            content.withUnsafeBytes { content in
                tail.withUnsafeBytes { tail in
                    self.nonce.withUnsafeBytes { nonce in
                        self.data.withUnsafeBytes { data in
                            key.seal(content, trailer: tail, into: output, nonce: nonce, authenticating: data)
                        }
                    }
                }
            }
        }
        return (isSealed, output)
    }

    /// Into fresh memory.
    func open(_ sealed: [UInt8], _ key: borrowing AEADKey) -> (isAuthentic: Bool, output: [UInt8]) {
        var output = [UInt8](repeating: 0xEE, count: max(0, sealed.count - AEADAlgorithm.tagLength))
        let isAuthentic: Bool = output.withUnsafeMutableBytes { output in
            sealed.withUnsafeBytes { sealed in
                self.nonce.withUnsafeBytes { nonce in
                    self.data.withUnsafeBytes { data in
                        key.open(sealed, into: output, nonce: nonce, authenticating: data)
                    }
                }
            }
        }
        return (isAuthentic, output)
    }
}
