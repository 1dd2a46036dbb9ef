/// Why a header block is no request. The raw value is constant text for logs and metrics.
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
    /// RFC 9113 §8.1: pseudo-fields in trailers.
    case pseudoFieldInTrailers = "pseudo-field-in-trailers"
}
