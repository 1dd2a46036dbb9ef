import Crypto

/// Where a chain of audit lines stands: behind the line with this number.
public struct ChainPosition: Hashable, Sendable {
    /// The last line's number; 0: there is none yet.
    public var sequence: UInt64
    /// The last line's hash; 32 bytes, zeroes before the first line.
    public var hash: [UInt8]

    /// Before the first line.
    public static let beginning = ChainPosition(sequence: 0, hash: [UInt8](repeating: 0, count: 32))

    /// No chain gets as far as this number: a line that says so is none.
    static let end: UInt64 = 1 << 62

    /// nil unless the hash has 32 bytes, and the number is one that a chain reaches.
    public init?(sequence: UInt64, hex: String) {
        guard sequence < Self.end, let hash = Hexadecimal.bytes(Array(hex.utf8)), hash.count == 32 else { return nil }
        self.init(sequence: sequence, hash: hash)
    }

    init(sequence: UInt64, hash: [UInt8]) {
        self.sequence = sequence
        self.hash = hash
    }

    /// 64 hexadecimal digits.
    public var hex: String { Hexadecimal.text(self.hash) }

    /// SHA-256 over this hash and the bytes of the line that follows, up to its own hash.
    func hash(before line: some Collection<UInt8>) -> [UInt8] {
        var hash = SHA256()
        self.hash.withUnsafeBytes { hash.update(bufferPointer: $0) }
        // Arrays and slices of arrays are contiguous.
        if line.withContiguousStorageIfAvailable({ hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }) == nil {
            Array(line).withUnsafeBytes { hash.update(bufferPointer: $0) }
        }
        return Array(hash.finalize())
    }
}

/// Lower-case hexadecimal digits.
package enum Hexadecimal {
    private static let digits: [UInt8] = Array("0123456789abcdef".utf8)

    package static func append(_ bytes: some Sequence<UInt8>, to text: inout [UInt8]) {
        for byte in bytes {
            text.append(Self.digits[Int(byte >> 4)])
            text.append(Self.digits[Int(byte & 15)])
        }
    }

    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        Self.append(bytes, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// nil: something else stands there.
    package static func bytes(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2)
        var high: UInt8?
        for digit in text {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }
}
