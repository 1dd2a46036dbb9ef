/// A comma-separated list of tokens: `Connection`, `Transfer-Encoding` (RFC 9110 §5.6.1, §7.6.1, RFC 9112 §7).
///
/// For fields whose elements are tokens only: a comma always separates, and quotes mean nothing.
package enum TokenList {
    /// Calls `body` for each element, without whitespace around it. Elements may be empty, or no tokens.
    @inlinable @inline(__always)
    package static func forEach<Fault: Error>(
        _ bytes: borrowing Span<UInt8>, _ value: Range<Int>, _ body: (Range<Int>) throws(Fault) -> Void
    ) throws(Fault) {
        var start = value.lowerBound
        var position = start
        while position <= value.upperBound {
            if position == value.upperBound || bytes[position] == UInt8(ascii: ",") {
                var end = position
                while start < end, ByteClass.isWhitespace(bytes[start]) { start &+= 1 }
                while end > start, ByteClass.isWhitespace(bytes[end &- 1]) { end &-= 1 }
                try body(start..<end)
                start = position &+ 1
            }
            position &+= 1
        }
    }

    /// Whether a range holds this text, apart from the case of letters.
    ///
    /// - Parameter text: in lower case.
    @inlinable @inline(__always)
    package static func equals(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for offset in 0..<range.count
        where ByteClass.lowercased(bytes[range.lowerBound &+ offset]) != text.utf8Start[offset] { return false }
        return true
    }

    /// Whether a range holds a token of RFC 9110 §5.6.2.
    @inlinable package static func isToken(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard !range.isEmpty else { return false }
        for position in range where !ByteClass.isToken(bytes[position]) { return false }
        return true
    }
}
