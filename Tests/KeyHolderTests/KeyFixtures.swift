import Crypto
import CryptoExtras
import Foundation

@testable import KeyHolder

enum KeyFixtures {
    /// A P-256 key as `EC PRIVATE KEY`.
    static func sec1(_ key: P256.Signing.PrivateKey) throws -> String {
        // ECPrivateKey: version 1, 32 bytes, [0] prime256v1.
        let der: [UInt8] =
            [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20] + Array(key.rawRepresentation)
            + [0xA0, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
        let text = Data(der).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        return "-----BEGIN EC PRIVATE KEY-----\n\(text)\n-----END EC PRIVATE KEY-----\n"
    }

    /// RSA's public operation, block^e mod n, by schoolbook arithmetic: an opinion that comes from no TLS library.
    static func publicOperation(_ key: _RSA.Signing.PublicKey, _ block: [UInt8]) throws -> [UInt8] {
        let primitives = try key.getKeyPrimitives()
        let modulus: [UInt32] = Self.words(Array(primitives.modulus))
        let base: [UInt32] = Self.words(block)
        // The exponent is 65537: square 16 times, then multiply once.
        precondition(Array(primitives.publicExponent) == [1, 0, 1])
        var power: [UInt32] = base
        for _ in 0..<16 { power = Self.multiply(power, power, modulo: modulus) }
        power = Self.multiply(power, base, modulo: modulus)
        let bytes: [UInt8] = power.reversed().flatMap { word in
            withUnsafeBytes(of: word.bigEndian) { Array($0) }
        }
        return Array(bytes.suffix(block.count))
    }

    /// Little-endian words of big-endian bytes; the length must be a multiple of 4.
    private static func words(_ bytes: [UInt8]) -> [UInt32] {
        stride(from: bytes.count - 4, through: 0, by: -4).map { offset in
            bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    /// a·b mod m by shifting in one bit of a at a time.
    private static func multiply(_ a: [UInt32], _ b: [UInt32], modulo m: [UInt32]) -> [UInt32] {
        var sum = [UInt32](repeating: 0, count: m.count + 1)
        let wide: [UInt32] = m + [0]
        let addend: [UInt32] = b + [0]
        for word in a.reversed() {
            for bit in stride(from: 31, through: 0, by: -1) {
                var carry: UInt32 = 0
                for index in sum.indices {
                    let shifted: UInt32 = sum[index] << 1 | carry
                    carry = sum[index] >> 31
                    sum[index] = shifted
                }
                Self.reduce(&sum, wide)
                guard word >> UInt32(bit) & 1 == 1 else { continue }
                var overflow: UInt64 = 0
                for index in sum.indices {
                    let total: UInt64 = UInt64(sum[index]) + UInt64(addend[index]) + overflow
                    sum[index] = UInt32(truncatingIfNeeded: total)
                    overflow = total >> 32
                }
                Self.reduce(&sum, wide)
            }
        }
        return Array(sum.dropLast())
    }

    private static func reduce(_ value: inout [UInt32], _ m: [UInt32]) {
        for index in value.indices.reversed() where value[index] != m[index] {
            guard value[index] > m[index] else { return }
            break
        }
        var borrow: Int64 = 0
        for index in value.indices {
            let difference: Int64 = Int64(value[index]) - Int64(m[index]) + borrow
            value[index] = UInt32(truncatingIfNeeded: difference)
            borrow = difference >> 32
        }
    }
}
