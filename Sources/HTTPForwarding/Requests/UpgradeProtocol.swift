import HTTPFields

/// The members of `Upgrade` (RFC 9110 §7.8).
enum UpgradeProtocol {
    /// Whether the origin hears of it: `h2c`, other versions of HTTP and TLS are this hop's business. A name, or a name and a version.
    static func isForOrigin(_ bytes: borrowing Span<UInt8>, _ element: Range<Int>) -> Bool {
        guard !element.isEmpty else { return false }
        for position in element where !ByteClass.isToken(bytes[position]) && bytes[position] != UInt8(ascii: "/") {
            return false
        }
        if bytes.equals(element, "h2c") || bytes.equals(element, "h2") { return false }
        for prefix: StaticString in ["http/", "tls/"] where element.count >= prefix.utf8CodeUnitCount {
            let start = element.lowerBound..<(element.lowerBound + prefix.utf8CodeUnitCount)
            if bytes.equals(start, prefix) { return false }
        }
        return true
    }
}
