/// Which bytes may stand where (RFC 9110 §5.5, §5.6.2), and searches that look at eight bytes at a time.
///
/// All searches read within the span that they are given; a span's subscript is checked.
package enum ByteClass {
    @inlinable package static var horizontalTab: UInt8 { 0x09 }
    @inlinable package static var lineFeed: UInt8 { 0x0A }
    @inlinable package static var carriageReturn: UInt8 { 0x0D }
    @inlinable package static var space: UInt8 { 0x20 }
    @inlinable package static var delete: UInt8 { 0x7F }

    /// 256 bytes: every tchar of RFC 9110 §5.6.2 in lower case at its own place, a space at every other place.
    @inlinable static var tokenTable: StaticString {
        """
        \u{20}                               \
         ! #$%&'  *+ -. 0123456789      \
         abcdefghijklmnopqrstuvwxyz   ^_\
        `abcdefghijklmnopqrstuvwxyz | ~ \
                                        \
                                        \
                                        \
                                       \u{20}
        """
    }

    @inlinable @inline(__always) package static func isToken(_ byte: UInt8) -> Bool {
        self.tokenTable.utf8Start[Int(byte)] != self.space
    }

    /// A capital letter in lower case; every other byte as it is.
    @inlinable @inline(__always) package static func lowercased(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    @inlinable @inline(__always) package static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    /// The value of a hexadecimal digit in either case; `nil` for every other byte.
    @inlinable @inline(__always) package static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        let digit = byte &- UInt8(ascii: "0")
        if digit < 10 { return digit }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? letter &+ 10 : nil
    }

    /// SP or HTAB: what RFC 9110 §5.6.3 calls whitespace.
    @inlinable @inline(__always) package static func isWhitespace(_ byte: UInt8) -> Bool {
        byte == self.space || byte == self.horizontalTab
    }

    /// The first byte at or after `start` that no field value has: a control other than HTAB. `bytes.count` if there is
    /// none.
    @inlinable package static func firstControl(_ bytes: borrowing Span<UInt8>, from start: Int) -> Int {
        let words = bytes.bytes
        var position = start
        while true {
            while position <= bytes.count &- 8 {
                let word = UInt64(littleEndian: words.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self))
                let found = Self.below(word, 0x20) | Self.equal(word, Self.delete)
                if found != 0 {
                    position &+= found.trailingZeroBitCount / 8
                    break
                }
                position &+= 8
            }
            while position < bytes.count {
                let byte = bytes[position]
                if byte < 0x20 || byte == Self.delete { break }
                position &+= 1
                if position <= bytes.count &- 8 { break }
            }
            guard position < bytes.count else { return bytes.count }
            let byte = bytes[position]
            if byte == Self.horizontalTab {
                position &+= 1
            } else if byte < 0x20 || byte == Self.delete {
                return position
            }
        }
    }

    /// The first byte at or after `start` that no request target has: anything but visible ASCII, and `#`.
    /// `bytes.count` if there is none.
    @inlinable package static func firstOutsideTarget(_ bytes: borrowing Span<UInt8>, from start: Int) -> Int {
        let words = bytes.bytes
        var position = start
        while position <= bytes.count &- 8 {
            let word = UInt64(littleEndian: words.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self))
            let found =
                Self.below(word, 0x21) | Self.equal(word, Self.delete) | Self.equal(word, UInt8(ascii: "#"))
                | (word & Self.highBits)
            if found != 0 { return position &+ found.trailingZeroBitCount / 8 }
            position &+= 8
        }
        while position < bytes.count, Self.isTargetByte(bytes[position]) { position &+= 1 }
        return position
    }

    @inlinable @inline(__always) package static func isTargetByte(_ byte: UInt8) -> Bool {
        byte > self.space && byte < self.delete && byte != UInt8(ascii: "#")
    }

    @inlinable static var highBits: UInt64 { 0x8080_8080_8080_8080 }
    @inlinable static var ones: UInt64 { 0x0101_0101_0101_0101 }

    /// The high bit of each byte below `limit` (1...128) is set; only the lowest of them is to be relied on, since a borrow
    /// can reach the bytes above it.
    @inlinable @inline(__always) static func below(_ word: UInt64, _ limit: UInt8) -> UInt64 {
        (word &- (self.ones &* UInt64(limit))) & ~word & self.highBits
    }

    /// As ``below(_:_:)``, for bytes that equal `byte`.
    @inlinable @inline(__always) static func equal(_ word: UInt64, _ byte: UInt8) -> UInt64 {
        let difference = word ^ (self.ones &* UInt64(byte))
        return (difference &- self.ones) & ~difference & self.highBits
    }

    /// Whether the bytes are a token (RFC 9110 §5.6.2).
    package static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy { self.isToken($0) }
    }

    /// Whether a field may have these bytes as its value (RFC 9110 §5.5): no control but HTAB, no whitespace at either end.
    package static func isValue(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
        if let first = bytes.first, self.isWhitespace(first) { return false }
        if let last = bytes.last, self.isWhitespace(last) { return false }
        return self.hasNoControl(bytes)
    }

    /// ``isValue(_:)`` for bytes in memory.
    package static func isValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if let first = bytes.first, self.isWhitespace(first) { return false }
        if let last = bytes.last, self.isWhitespace(last) { return false }
        return bytes.withMemoryRebound(to: UInt8.self) { self.firstControl($0.span, from: 0) == $0.count }
    }

    /// Whether no byte is a control other than HTAB.
    package static func hasNoControl(_ bytes: some Collection<UInt8>) -> Bool {
        if let found = bytes.withContiguousStorageIfAvailable({ self.firstControl($0.span, from: 0) }) {
            return found == bytes.count
        }
        return bytes.allSatisfy { $0 >= 0x20 && $0 != self.delete || $0 == self.horizontalTab }
    }
}
