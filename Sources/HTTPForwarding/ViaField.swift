import HTTPFields
import NIOCore

/// The `Via` field (RFC 9110 §7.6.3).
enum ViaField {
    /// Whether one of the hops listed is called `pseudonym`. Comments and protocol names don't count.
    static func mentions(_ pseudonym: String, in fields: FieldSection) -> Bool {
        let bytes = fields.bytes.readableBytesUInt8Span
        var found = false
        for field in fields where field.known == .via {
            FieldList.forEach(bytes, field.value, .commented) { element in
                if Self.isHop(pseudonym.utf8, bytes, element) { found = true }
            }
        }
        return found
    }

    /// received-protocol RWS received-by [ RWS comment ]
    private static func isHop(
        _ pseudonym: String.UTF8View, _ bytes: borrowing Span<UInt8>, _ element: Range<Int>
    ) -> Bool {
        var start = element.lowerBound
        while start < element.upperBound, !ByteClass.isWhitespace(bytes[start]) { start += 1 }
        while start < element.upperBound, ByteClass.isWhitespace(bytes[start]) { start += 1 }
        var end = start
        while end < element.upperBound, !ByteClass.isWhitespace(bytes[end]), bytes[end] != UInt8(ascii: "(") {
            end += 1
        }
        guard end - start == pseudonym.count else { return false }
        for (offset, byte) in pseudonym.enumerated()
        where ByteClass.lowercased(bytes[start + offset]) != ByteClass.lowercased(byte) { return false }
        return true
    }
}
