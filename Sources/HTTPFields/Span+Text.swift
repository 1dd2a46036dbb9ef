/// Texts in fields, as the bytes that they are on the wire. Ranges are within the span.
extension Span<UInt8> {
    /// The range without SP and HTAB at either end (RFC 9110 §5.6.3).
    package func trimmed(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, ByteClass.isWhitespace(self[start]) { start &+= 1 }
        while end > start, ByteClass.isWhitespace(self[end &- 1]) { end &-= 1 }
        return start..<end
    }

    /// Whether a range holds this text, apart from the case of letters.
    ///
    /// - Parameter text: in lower case.
    package func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        range.count == text.utf8CodeUnitCount && self.begins(range, text)
    }

    /// Whether a range begins with this text, apart from the case of letters.
    ///
    /// - Parameter text: in lower case.
    package func begins(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count >= text.utf8CodeUnitCount else { return false }
        for offset in 0..<text.utf8CodeUnitCount
        where ByteClass.lowercased(self[range.lowerBound &+ offset]) != text.utf8Start[offset] { return false }
        return true
    }

    /// Whether two ranges hold the same bytes.
    package func equals(_ range: Range<Int>, _ other: borrowing Span<UInt8>, _ otherRange: Range<Int>) -> Bool {
        let count = range.count
        guard count == otherRange.count else { return false }
        let (words, others) = (self.bytes, other.bytes)
        var offset = 0
        while offset <= count &- 8 {
            let word = words.unsafeLoadUnaligned(fromByteOffset: range.lowerBound &+ offset, as: UInt64.self)
            let other = others.unsafeLoadUnaligned(fromByteOffset: otherRange.lowerBound &+ offset, as: UInt64.self)
            if word != other { return false }
            offset &+= 8
        }
        while offset < count {
            if self[range.lowerBound &+ offset] != other[otherRange.lowerBound &+ offset] { return false }
            offset &+= 1
        }
        return true
    }

    /// Whether two ranges hold the same bytes, apart from the case of letters.
    package func equalsFolded(_ range: Range<Int>, _ other: borrowing Span<UInt8>, _ otherRange: Range<Int>) -> Bool {
        guard range.count == otherRange.count else { return false }
        for offset in 0..<range.count
        where ByteClass.lowercased(self[range.lowerBound &+ offset])
            != ByteClass.lowercased(other[otherRange.lowerBound &+ offset])
        {
            return false
        }
        return true
    }

    /// The first place of a byte in a range.
    package func first(_ byte: UInt8, in range: Range<Int>) -> Int? {
        for position in range where self[position] == byte { return position }
        return nil
    }

    /// Whether a range holds a token (RFC 9110 §5.6.2).
    package func isToken(_ range: Range<Int>) -> Bool {
        guard !range.isEmpty else { return false }
        for position in range where !ByteClass.isToken(self[position]) { return false }
        return true
    }

    /// A decimal number: one or more digits and nothing else. `nil` for everything else, and for what `Int64` cannot hold.
    package func number(_ range: Range<Int>) -> Int64? {
        guard let number = self.saturatingNumber(range), number < .max else { return nil }
        return number
    }

    /// The same, where larger numbers than `Int64` holds count as its greatest (RFC 9111 §1.2.2).
    package func saturatingNumber(_ range: Range<Int>) -> Int64? {
        guard !range.isEmpty else { return nil }
        var value: Int64 = 0
        for position in range {
            let byte = self[position]
            guard ByteClass.isDigit(byte) else { return nil }
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int64(byte &- UInt8(ascii: "0")))
            value = tooLarge || carry || value == .max ? .max : sum
        }
        return value
    }

    /// The bytes of a range, copied.
    package func copy(_ range: Range<Int>) -> [UInt8] {
        self.withUnsafeBufferPointer { Array($0[range]) }
    }
}
