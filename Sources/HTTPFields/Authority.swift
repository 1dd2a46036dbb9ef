/// Host and optional port, as in the `Host` field or an absolute request target (RFC 9110 §7.2, RFC 3986 §3.2), where they
/// stand in the bytes.
public struct Authority: Equatable, Sendable {
    public enum Kind: Sendable {
        /// Letters, digits, hyphens, underscores and dots. Whether its labels are those of a DNS name is for others to judge.
        case name
        /// Digits and dots.
        case ipv4
        /// What stood between brackets: hexadecimal digits, colons and dots, with a colon.
        case ipv6
    }

    public let kind: Kind
    /// Without brackets, and without the dot of the DNS root at its end. Never empty.
    public let host: Range<Int>
    /// 0...65535; nil where none, or an empty one, was given.
    public let port: Int?

    /// `nil` unless the range is exactly a host with an optional port. User information is not accepted, nor are percent signs.
    public init?(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        guard !range.isEmpty else { return nil }
        var end: Int
        if bytes[range.lowerBound] == UInt8(ascii: "[") {
            guard let bracket = bytes.first(UInt8(ascii: "]"), in: range) else { return nil }
            self.host = (range.lowerBound + 1)..<bracket
            self.kind = .ipv6
            guard Self.looksLikeIPv6(bytes, self.host) else { return nil }
            end = bracket + 1
        } else {
            end = bytes.first(UInt8(ascii: ":"), in: range) ?? range.upperBound
            var last = end
            if last - range.lowerBound > 1, bytes[last - 1] == UInt8(ascii: ".") { last -= 1 }
            self.host = range.lowerBound..<last
            guard let kind = Self.kind(bytes, self.host) else { return nil }
            self.kind = kind
        }
        guard end < range.upperBound else {
            self.port = nil
            return
        }
        guard bytes[end] == UInt8(ascii: ":") else { return nil }
        end += 1
        if end == range.upperBound {
            self.port = nil
            return
        }
        guard range.upperBound - end <= 5, let port = bytes.number(end..<range.upperBound), port <= 65535 else {
            return nil
        }
        self.port = Int(port)
    }

    private static func kind(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> Kind? {
        guard !range.isEmpty else { return nil }
        var isAddress = true
        for position in range {
            let byte = bytes[position]
            if ByteClass.isDigit(byte) || byte == UInt8(ascii: ".") { continue }
            guard
                ByteClass.lowercased(byte) &- UInt8(ascii: "a") < 26 || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: "_")
            else { return nil }
            isAddress = false
        }
        return isAddress ? .ipv4 : .name
    }

    private static func looksLikeIPv6(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard range.count >= 2, range.count <= 45, bytes.first(UInt8(ascii: ":"), in: range) != nil else {
            return false
        }
        for position in range {
            let byte = bytes[position]
            guard ByteClass.hexadecimalDigit(byte) != nil || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
            else { return false }
        }
        return true
    }
}
