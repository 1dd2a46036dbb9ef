public import HTTPFields
public import NIOCore

/// Encodes field blocks of responses (HPACK, RFC 7541), each at the end of a buffer.
///
/// Uses the static table and Huffman's code, and adds nothing to the client's table. So a block means the same on every connection and
/// at every time: it can be made when a response is stored, no failure can bring two tables out of step, and secrets cannot be guessed from
/// lengths (RFC 7541 §7.1). What is written has been judged already; a name of a connection's own (RFC 9113 §8.2.2) is left out.
public enum FieldBlockWriter {
    /// - Parameter status: 100...999.
    public static func writeStatus(_ status: Int, to buffer: inout ByteBuffer) {
        switch status {
        case 200: buffer.writeInteger(0x80 | 8 as UInt8)
        case 204: buffer.writeInteger(0x80 | 9 as UInt8)
        case 206: buffer.writeInteger(0x80 | 10 as UInt8)
        case 304: buffer.writeInteger(0x80 | 11 as UInt8)
        case 400: buffer.writeInteger(0x80 | 12 as UInt8)
        case 404: buffer.writeInteger(0x80 | 13 as UInt8)
        case 500: buffer.writeInteger(0x80 | 14 as UInt8)
        default:
            buffer.writeInteger(0x08 as UInt8)
            buffer.writeInteger(3 as UInt8)
            for divisor in [100, 10, 1] { buffer.writeInteger(UInt8(ascii: "0") + UInt8(status / divisor % 10)) }
        }
    }

    /// A field of a section, byte for byte but for capital letters in its name.
    public static func write(_ field: FieldRecord, of section: FieldSection, to buffer: inout ByteBuffer) {
        section.bytes.withUnsafeReadableBytes { bytes in
            self.write(
                field.known, UnsafeRawBufferPointer(rebasing: bytes[field.name]),
                UnsafeRawBufferPointer(rebasing: bytes[field.value]), to: &buffer)
        }
    }

    /// Every field of a section.
    public static func write(_ section: FieldSection, to buffer: inout ByteBuffer) {
        for field in section { self.write(field, of: section, to: &buffer) }
    }

    /// A field whose name has a number.
    ///
    /// - Parameter value: no controls, no whitespace at either end.
    public static func write(_ name: KnownField, _ value: some Collection<UInt8>, to buffer: inout ByteBuffer) {
        let done: Void? = value.withContiguousStorageIfAvailable {
            self.write(name, UnsafeRawBufferPointer(name.name), UnsafeRawBufferPointer($0), to: &buffer)
        }
        if done == nil { self.write(name, ContiguousArray(value), to: &buffer) }
    }

    /// Any field.
    ///
    /// - Parameters:
    ///   - name: a token, in any letter case.
    ///   - value: no controls, no whitespace at either end.
    public static func write(
        name: some Collection<UInt8>, value: some Collection<UInt8>, to buffer: inout ByteBuffer
    ) {
        let done: Bool?? = name.withContiguousStorageIfAvailable { name in
            value.withContiguousStorageIfAvailable { value in
                let name = UnsafeRawBufferPointer(name)
                self.write(KnownField(name), name, UnsafeRawBufferPointer(value), to: &buffer)
                return true
            }
        }
        if done != .some(true) {
            self.write(name: ContiguousArray(name), value: ContiguousArray(value), to: &buffer)
        }
    }

    /// ``write(name:value:to:)`` for bytes in memory.
    public static func write(
        name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, to buffer: inout ByteBuffer
    ) {
        self.write(KnownField(token: name), name, value, to: &buffer)
    }

    /// ``write(_:_:to:)`` for bytes in memory.
    public static func write(_ name: KnownField, _ value: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        self.write(name, UnsafeRawBufferPointer(name.name), value, to: &buffer)
    }

    private static func write(
        _ known: KnownField?, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer,
        to buffer: inout ByteBuffer
    ) {
        var place = 0
        // RFC 7541 §7.1.3: others that pass the block on shall not index secrets.
        var pattern: UInt8 = 0x00
        if let known {
            switch known {
            case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: return
            case .setCookie, .cookie, .authorization: pattern = 0x10
            default: break
            }
            place = Int(StaticTable.places[Int(known.rawValue)])
        }
        // A text takes no more than its own bytes, and its length six at most.
        _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: name.count + value.count + 14) { bytes in
            var output = Output(bytes: bytes)
            output.write(place, prefix: 4, pattern)
            if place == 0 { output.write(name, lowercasing: true) }
            output.write(value, lowercasing: false)
            return output.count
        }
    }

    /// What one field takes, written from the front.
    private struct Output {
        let bytes: UnsafeMutableRawBufferPointer
        var count = 0

        private mutating func write(_ byte: UInt8) {
            self.bytes[self.count] = byte
            self.count += 1
        }

        /// RFC 7541 §5.1.
        mutating func write(_ value: Int, prefix: Int, _ pattern: UInt8) {
            let mask = 1 << prefix - 1
            if value < mask { return self.write(pattern | UInt8(value)) }
            self.write(pattern | UInt8(mask))
            var rest = value - mask
            while rest >= 128 {
                self.write(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            self.write(UInt8(rest))
        }

        /// RFC 7541 §5.2, in the shorter of both forms.
        mutating func write(_ text: UnsafeRawBufferPointer, lowercasing: Bool) {
            let huffman = Huffman.encodedCount(text, lowercasing: lowercasing)
            if huffman < text.count {
                self.write(huffman, prefix: 7, 0x80)
                Huffman.encode(
                    text, lowercasing: lowercasing,
                    into: UnsafeMutableRawBufferPointer(rebasing: self.bytes[self.count..<(self.count + huffman)]))
                self.count += huffman
                return
            }
            self.write(text.count, prefix: 7, 0x00)
            guard lowercasing else {
                UnsafeMutableRawBufferPointer(rebasing: self.bytes[self.count...]).copyMemory(from: text)
                self.count += text.count
                return
            }
            for byte in text { self.write(ByteClass.lowercased(byte)) }
        }
    }
}
