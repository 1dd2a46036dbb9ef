import HTTPFields

/// Why a field block, or what it holds, is no message (RFC 9113 §8.1.1). The stream is reset with `PROTOCOL_ERROR`. The raw value
/// is constant text for logs and metrics.
public enum HTTP2Malformation: String, Error, CaseIterable, Sendable {
    /// RFC 9113 §8.3: unknown, repeated, behind other fields, or not for requests. `:protocol` as well, since RFC 8441 is
    /// not offered.
    case badPseudoField = "bad-pseudo-field"
    /// RFC 9113 §8.3.1.
    case missingPseudoField = "missing-pseudo-field"
    /// RFC 9113 §8.2.1: upper case, or a character that no field name has.
    case badFieldName = "bad-field-name"
    /// RFC 9113 §8.2.1: a control character, or a space at either end.
    case badFieldValue = "bad-field-value"
    /// RFC 9113 §8.2.2: `Connection`, `Transfer-Encoding` and the like; `TE` with anything but `trailers`.
    case connectionField = "connection-field"
    /// RFC 9113 §8.1.1: a length, and no body.
    case lengthWithoutBody = "length-without-body"
    /// RFC 9113 §8.1.1: a length, and a body of another.
    case lengthDiffers = "length-differs"
    /// RFC 9113 §8.1: pseudo-fields in trailers.
    case pseudoFieldInTrailers = "pseudo-field-in-trailers"
}

/// What one field of a request is, whatever stands beside it.
enum FieldJudgement: Equatable, Sendable {
    case method, scheme, path, authority
    /// The number of its name, if it has one.
    case field(KnownField?)
    case malformed(HTTP2Malformation)

    init(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        self = Self.judge(name, value)
    }

    private static func judge(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> FieldJudgement {
        guard let first = name.first else { return .malformed(.badFieldName) }
        if first == UInt8(ascii: ":") {
            guard ByteClass.isValue(value) else { return .malformed(.badFieldValue) }
            if Self.equals(name, ":method") { return .method }
            if Self.equals(name, ":path") { return .path }
            if Self.equals(name, ":scheme") { return .scheme }
            if Self.equals(name, ":authority") { return .authority }
            return .malformed(.badPseudoField)
        }
        for byte in name where !ByteClass.isToken(byte) || ByteClass.lowercased(byte) != byte {
            return .malformed(.badFieldName)
        }
        guard ByteClass.isValue(value) else { return .malformed(.badFieldValue) }
        let known = KnownField(token: name)
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade:
            return .malformed(.connectionField)
        case .te:
            // The one value that TE may have is compared without regard to case.
            guard value.count == 8, value.elementsEqual("trailers".utf8, by: { ByteClass.lowercased($0) == $1 }) else {
                return .malformed(.connectionField)
            }
        default: break
        }
        return .field(known)
    }

    private static func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
        return true
    }
}
