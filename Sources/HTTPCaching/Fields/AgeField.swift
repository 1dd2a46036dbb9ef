import HTTPFields
import NIOCore

/// `Age` of a response (RFC 9111 §5.1).
enum AgeField {
    /// Seconds, at most 2^31: the first member of the first line. `nil` if that is no whole number: the field is ignored
    /// then. Later members come from broken caches and say nothing.
    static func seconds(_ fields: FieldSection) -> Int64? {
        guard let field = fields.first(.age) else { return nil }
        let bytes = fields.bytes.readableBytesUInt8Span
        let value = field.value
        let end = bytes.first(UInt8(ascii: ","), in: value) ?? value.upperBound
        return bytes.saturatingNumber(bytes.trimmed(value.lowerBound..<end)).map { min($0, 1 << 31) }
    }
}
