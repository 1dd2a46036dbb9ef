import HTTPFields
import NIOCore

/// The Huffman code of RFC 7541 §5.2 and Appendix B. It is canonical: the lengths say everything.
enum Huffman {
    /// Bits of each byte's code, and of EOS behind them.
    private static let lengths: InlineArray<257, UInt8> = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
        28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
        6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22,
        20,
        20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23,
        24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
        22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27,
        24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
        26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
    ]
    private static let endOfString = 256
    /// Codes up to this length are found in one step.
    private static let shortBits = 9
    private static let longestBits = 30

    /// What is derived from the lengths, once.
    private struct Tables: Sendable {
        /// By byte: the code, at the right end.
        var codes = InlineArray<257, UInt32>(repeating: 0)
        /// By the next nine bits: a byte and its code's length, or 0 where the code is longer.
        var short = InlineArray<512, UInt16>(repeating: 0)
        /// By length: the first code, how many there are, and where the first one's byte stands in `symbols`.
        var first = InlineArray<31, UInt32>(repeating: 0)
        var count = InlineArray<31, UInt32>(repeating: 0)
        var start = InlineArray<31, UInt16>(repeating: 0)
        /// By code.
        var symbols = InlineArray<257, UInt16>(repeating: 0)

        init() {
            var code: UInt32 = 0
            var position = 0
            for length in 1...Huffman.longestBits {
                code <<= 1
                self.first[length] = code
                self.start[length] = UInt16(position)
                for symbol in 0...Huffman.endOfString where Int(Huffman.lengths[symbol]) == length {
                    self.codes[symbol] = code
                    self.symbols[position] = UInt16(symbol)
                    if length <= Huffman.shortBits {
                        let shift = Huffman.shortBits - length
                        for rest in 0..<(1 << shift) {
                            self.short[Int(code) << shift | rest] = UInt16(symbol << 4 | length)
                        }
                    }
                    position += 1
                    code += 1
                }
                self.count[length] = code - self.first[length]
            }
        }
    }

    private static let tables = Tables()

    /// No text becomes longer by decoding than this.
    @inline(__always) static func decodedBound(_ count: Int) -> Int { count * 8 / 5 + 1 }

    /// - Parameter output: has room for ``decodedBound(_:)`` bytes.
    /// - Returns: how many bytes were written; nil if the text is no Huffman code: EOS in it, or padding that is longer than
    ///   seven bits or other than ones.
    static func decode(
        _ input: borrowing Span<UInt8>, _ range: Range<Int>, into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var bits: UInt64 = 0
        var count = 0
        var position = range.lowerBound
        var written = 0
        while true {
            while count <= 56, position < range.upperBound {
                bits |= UInt64(input[position]) << UInt64(56 - count)
                count += 8
                position += 1
            }
            let (symbol, length) = self.symbol(bits)
            guard length <= count else { break }
            guard symbol != self.endOfString else { return nil }
            output[written] = UInt8(truncatingIfNeeded: symbol)
            written += 1
            bits <<= UInt64(length)
            count -= length
        }
        guard count < 8, bits == ~(UInt64.max >> UInt64(count)) else { return nil }
        return written
    }

    /// The first code among the bits, of which the first is the highest.
    @inline(__always) private static func symbol(_ bits: UInt64) -> (symbol: Int, length: Int) {
        let short = self.tables.short[Int(bits >> UInt64(64 - self.shortBits))]
        if short != 0 { return (Int(short >> 4), Int(short & 15)) }
        for length in (self.shortBits + 1)...self.longestBits {
            let place = UInt32(truncatingIfNeeded: bits >> UInt64(64 - length)) &- self.tables.first[length]
            if place < self.tables.count[length] {
                return (Int(self.tables.symbols[Int(self.tables.start[length]) + Int(place)]), length)
            }
        }
        // Every run of 30 bits begins with a code.
        return (self.endOfString, self.longestBits)
    }

    /// How many bytes the text takes.
    @inline(__always)
    static func encodedCount(_ bytes: UnsafeRawBufferPointer, lowercasing: Bool) -> Int {
        var bits = 0
        for byte in bytes { bits += Int(self.lengths[Int(lowercasing ? ByteClass.lowercased(byte) : byte)]) }
        return (bits + 7) / 8
    }

    /// - Parameter output: has room for ``encodedCount(_:lowercasing:)`` bytes.
    static func encode(
        _ bytes: UnsafeRawBufferPointer, lowercasing: Bool, into output: UnsafeMutableRawBufferPointer
    ) {
        var bits: UInt64 = 0
        var count = 0
        var written = 0
        for byte in bytes {
            let symbol = Int(lowercasing ? ByteClass.lowercased(byte) : byte)
            let length = Int(self.lengths[symbol])
            bits = bits << UInt64(length) | UInt64(self.tables.codes[symbol])
            count += length
            while count >= 8 {
                count -= 8
                output[written] = UInt8(truncatingIfNeeded: bits >> UInt64(count))
                written += 1
            }
        }
        guard count > 0 else { return }
        output[written] = UInt8(truncatingIfNeeded: bits << UInt64(8 - count)) | UInt8(0xFF >> count)
    }
}
