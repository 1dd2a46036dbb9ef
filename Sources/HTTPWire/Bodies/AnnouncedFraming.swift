package import HTTPFields
import NIOCore

extension BodyFraming {
    /// What `Content-Length` and `Transfer-Encoding` amount to; `nil` where neither is there. What two parsers could read in two
    /// ways is a fault, since that is how requests are smuggled.
    package static func announced(in fields: FieldSection, minorVersion: Int) throws(WireFault) -> BodyFraming? {
        let hasLength = fields.contains(.contentLength)
        guard fields.contains(.transferEncoding) else {
            return hasLength ? .length(try Self.length(fields)) : nil
        }
        if minorVersion == 0 { throw .codingInHTTP10 }
        if hasLength { throw .lengthAndCoding }
        try Self.checkCoding(fields)
        return .chunked
    }

    /// One field with digits and nothing else. RFC 9110 §8.6 lets a recipient refuse a list of equal values, and several fields
    /// are that list; no sender that can be trusted makes one.
    private static func length(_ fields: FieldSection) throws(WireFault) -> Int64 {
        let bytes = fields.bytes.readableBytesUInt8Span
        var length: Int64?
        for field in fields where field.known == .contentLength {
            let value = field.value
            guard !value.isEmpty else { throw .badLength }
            var number: Int64 = 0
            for position in value {
                let byte = bytes[position]
                if byte == UInt8(ascii: ",") { throw .severalLengths }
                guard ByteClass.isDigit(byte) else { throw .badLength }
                let (product, overflow) = number.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(Int64(byte &- UInt8(ascii: "0")))
                if overflow || carry { throw .badLength }
                number = sum
            }
            if length != nil { throw .severalLengths }
            length = number
        }
        guard let length else { throw .badLength }
        return length
    }

    /// Passes where the codings are exactly `chunked`.
    private static func checkCoding(_ fields: FieldSection) throws(WireFault) {
        let bytes = fields.bytes.readableBytesUInt8Span
        var hasOther = false
        var hasChunked = false
        for field in fields where field.known == .transferEncoding {
            try FieldList.forEach(bytes, field.value, .tokens) { element throws(WireFault) in
                // Parameters make an element more than a token; chunked has none (RFC 9112 §7.1), and no other is decoded.
                guard bytes.isToken(element) else { throw .badCoding }
                if hasChunked { throw .chunkedNotLast }
                if bytes.equals(element, "chunked") {
                    hasChunked = true
                } else {
                    hasOther = true
                }
            }
        }
        if !hasChunked { throw .chunkedNotLast }
        if hasOther { throw .codingNotSupported }
    }
}
