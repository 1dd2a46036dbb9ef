/// Where a directory's request goes: an `https` URL in its parts.
public struct HTTPSURL: Equatable, Sendable {
    /// A host name, or an IP address without brackets.
    public let host: String
    public let port: Int
    /// Path and query: what stands in the request line.
    public let target: String
    /// As `Host` has it.
    public let authority: String

    public static let longest = 2048

    /// nil: it is not `https`, has a user's name, a fragment or odd characters in it, or is too long.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.longest, text.hasPrefix("https://"),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") })
        else { return nil }
        let rest = text.dropFirst("https://".count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        var authority = rest[..<end]
        let target = rest[end...]
        self.target = target.hasPrefix("/") ? String(target) : "/\(target)"
        self.authority = String(authority)
        guard !authority.contains("@") else { return nil }
        var port = 443
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            guard let number = Int(authority[authority.index(after: colon)...]), (1...65_535).contains(number) else {
                return nil
            }
            port = number
            authority = authority[..<colon]
        }
        self.port = port
        if authority.hasPrefix("["), authority.hasSuffix("]") { authority = authority.dropFirst().dropLast() }
        guard !authority.isEmpty, authority.utf8.count <= 253 else { return nil }
        self.host = String(authority)
    }
}
