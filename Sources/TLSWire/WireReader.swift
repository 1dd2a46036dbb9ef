import NIOCore

/// Reads TLS presentation language (RFC 8446 §3) from a buffer.
///
/// Every read is checked, and gives nil where a length says more than there is, or less than the field allows. No read
/// goes past the end.
struct WireReader {
    private var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) { self.buffer = buffer }

    var isAtEnd: Bool { buffer.readableBytes == 0 }
    var remaining: Int { buffer.readableBytes }

    mutating func uint8() -> UInt8? { buffer.readInteger() }
    mutating func uint16() -> UInt16? { buffer.readInteger() }

    mutating func uint24() -> Int? {
        guard let (high, low) = buffer.readMultipleIntegers(as: (UInt8, UInt16).self) else { return nil }
        return Int(high) << 16 | Int(low)
    }

    mutating func bytes(_ count: Int) -> [UInt8]? { buffer.readBytes(length: count) }

    /// A vector whose length takes one byte.
    mutating func vector8(_ allowed: ClosedRange<Int> = 0...0xFF) -> WireReader? {
        guard let count: UInt8 = uint8(), allowed.contains(Int(count)) else { return nil }
        return buffer.readSlice(length: Int(count)).map(WireReader.init)
    }

    /// A vector whose length takes two bytes.
    mutating func vector16(_ allowed: ClosedRange<Int> = 0...0xFFFF) -> WireReader? {
        guard let count: UInt16 = uint16(), allowed.contains(Int(count)) else { return nil }
        return buffer.readSlice(length: Int(count)).map(WireReader.init)
    }

    /// A vector whose length takes three bytes.
    mutating func vector24() -> WireReader? {
        guard let count: Int = uint24() else { return nil }
        return buffer.readSlice(length: count).map(WireReader.init)
    }

    /// All that is left, as numbers of two bytes; nil if one byte stays over.
    mutating func remainingUInt16s() -> [UInt16]? {
        guard remaining.isMultiple(of: 2) else { return nil }
        let numbers: [UInt16] = buffer.withUnsafeReadableBytes { bytes in
            [UInt16](unsafeUninitializedCapacity: bytes.count / 2) { output, count in
                count = bytes.count / 2
                for index in 0..<count {
                    let number = bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
                    output.initializeElement(at: index, to: UInt16(bigEndian: number))
                }
            }
        }
        buffer.moveReaderIndex(to: buffer.writerIndex)
        return numbers
    }

    /// All that is left.
    mutating func remainingBytes() -> [UInt8] { buffer.readBytes(length: buffer.readableBytes) ?? [] }
}
