import Crypto
import Hexadecimal

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
        guard sequence < Self.end, let hash = Hex.bytes(hex.utf8), hash.count == 32 else { return nil }
        self.init(sequence: sequence, hash: hash)
    }

    init(sequence: UInt64, hash: [UInt8]) {
        self.sequence = sequence
        self.hash = hash
    }

    /// 64 hexadecimal digits.
    public var hex: String { Hex.text(self.hash) }

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
