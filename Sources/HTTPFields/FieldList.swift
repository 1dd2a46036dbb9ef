/// A comma-separated list (RFC 9110 §5.6.1), walked element by element: the one list grammar of this project.
package enum FieldList {
    /// Where a comma separates nothing. That depends on how the field is defined, not on what the sender wrote.
    package enum Grammar: Sendable {
        /// Elements are tokens, numbers or ranges (`Connection`, `Transfer-Encoding`, `Range`): a comma always separates,
        /// and quotes mean nothing.
        case tokens
        /// Elements may hold quoted strings (RFC 9110 §5.6.4): most fields. One that never ends takes the rest of the line.
        case quoted
        /// Elements may hold quoted strings and comments (RFC 9110 §5.6.5): `Via`.
        case commented
    }

    /// Calls `body` for each element, without whitespace around it. Elements may be empty, or not of the field's grammar: a
    /// recipient ignores the former, and judges the latter itself.
    @inlinable @inline(__always)
    package static func forEach<Fault: Error>(
        _ bytes: borrowing Span<UInt8>, _ value: Range<Int>, _ grammar: Grammar,
        _ body: (Range<Int>) throws(Fault) -> Void
    ) throws(Fault) {
        var start = value.lowerBound
        var position = start
        var isQuoted = false
        var depth = 0
        while position < value.upperBound {
            let byte = bytes[position]
            if grammar != .tokens {
                if byte == UInt8(ascii: "\\"), isQuoted || depth > 0 {
                    position &+= 2
                    continue
                }
                if byte == UInt8(ascii: "\""), depth == 0 { isQuoted.toggle() }
                if grammar == .commented, !isQuoted {
                    if byte == UInt8(ascii: "(") { depth &+= 1 }
                    if byte == UInt8(ascii: ")"), depth > 0 { depth &-= 1 }
                }
            }
            if byte == UInt8(ascii: ","), !isQuoted, depth == 0 {
                try body(bytes.trimmed(start..<position))
                start = position &+ 1
            }
            position &+= 1
        }
        try body(bytes.trimmed(min(start, value.upperBound)..<value.upperBound))
    }
}
