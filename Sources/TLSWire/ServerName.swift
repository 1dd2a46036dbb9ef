/// A DNS host name in the one spelling that the whole project compares by: lower case, no trailing dot.
///
/// 1...63 bytes of letters, digits, hyphens and underscores in each label (no hyphen first or last), 253 bytes in all,
/// never an IP address. International names are in their A-label form (`xn--…`), as in SNI (RFC 6066 §3).
public struct ServerName: Hashable, Sendable, CustomStringConvertible {
    /// The name in lower case, without a trailing dot.
    public let rawValue: String

    public var description: String { rawValue }

    /// Takes a name from a configuration file, a certificate or a `Host` header (without its port). Folds upper case.
    public init(_ text: String) throws(ServerNameError) {
        try self.init(wire: text.utf8)
    }

    /// Takes the bytes of an SNI host_name (RFC 6066 §3). Folds upper case.
    public init<Bytes: Collection>(wire bytes: Bytes) throws(ServerNameError) where Bytes.Element == UInt8 {
        // Bound first, so that a hostile 64 KiB name costs nothing.
        let count: Int = bytes.count
        if count == 0 { throw .empty }
        if count > Self.maximumLength + 1 { throw .tooLong }
        let result = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) {
            name -> Result<String, ServerNameError> in
            var end = 0
            for byte: UInt8 in bytes where end < count {
                name[end] = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
                end += 1
            }
            let name = UnsafeBufferPointer(rebasing: name[..<end])
            if let error = Self.fault(of: name) { return .failure(error) }
            return .success(String(decoding: name, as: UTF8.self))
        }
        rawValue = try result.get()
    }

    /// What remains after the first label, if anything does: `www.example.com` gives `example.com`.
    @usableFromInline var parent: String? {
        guard let dot: String.Index = rawValue.firstIndex(of: ".") else { return nil }
        return String(rawValue[rawValue.index(after: dot)...])
    }

    private static let maximumLength = 253
    private static let maximumLabelLength = 63

    /// - Parameter name: not empty, without upper case.
    private static func fault(of name: UnsafeBufferPointer<UInt8>) -> ServerNameError? {
        // One colon is a port that was left on; two are IPv6.
        let colons: Int = name.count { $0 == UInt8(ascii: ":") }
        if colons > 1 || name[0] == UInt8(ascii: "[") { return .ipAddress }
        if name.count > 1, name[name.count - 1] == UInt8(ascii: ".") { return .trailingDot }
        if name.count > maximumLength { return .tooLong }
        var start = 0
        while true {
            var end: Int = start
            while end < name.count, name[end] != UInt8(ascii: ".") { end += 1 }
            let label = UnsafeBufferPointer(rebasing: name[start..<end])
            if let error = fault(ofLabel: label) { return error }
            if end == name.count { return looksNumeric(label) ? .ipAddress : nil }
            start = end + 1
        }
    }

    private static func fault(ofLabel label: UnsafeBufferPointer<UInt8>) -> ServerNameError? {
        if label.isEmpty { return .emptyLabel }
        if label.count > maximumLabelLength { return .labelTooLong }
        for byte: UInt8 in label {
            switch byte {
            case 0x61...0x7A, 0x30...0x39, UInt8(ascii: "-"), UInt8(ascii: "_"): continue
            default: return .illegalCharacter(byte)
            }
        }
        let hyphen = UInt8(ascii: "-")
        return label[0] == hyphen || label[label.count - 1] == hyphen ? .misplacedHyphen : nil
    }

    /// Resolvers take a name whose last label is a number, decimal or hexadecimal, for an IPv4 address (`10.1`,
    /// `0x7f.1`); no top-level domain is one (RFC 3696 §2).
    private static func looksNumeric(_ label: UnsafeBufferPointer<UInt8>) -> Bool {
        if label.allSatisfy({ (0x30...0x39).contains($0) }) { return true }
        guard label.count >= 2, label[0] == UInt8(ascii: "0"), label[1] == UInt8(ascii: "x") else { return false }
        return label[2...].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// Why a text is not a server name. The description names what is wrong and the remedy.
public enum ServerNameError: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case tooLong
    case emptyLabel
    case labelTooLong
    case illegalCharacter(UInt8)
    case misplacedHyphen
    case trailingDot
    case ipAddress
    case misplacedWildcard

    public var description: String {
        switch self {
        case .empty: return "the name is empty"
        case .tooLong: return "the name is longer than 253 characters"
        case .emptyLabel: return "two dots stand side by side, or a dot comes first; remove one"
        case .labelTooLong: return "a part between dots is longer than 63 characters"
        case .illegalCharacter(let byte) where byte >= 0x80:
            return "the name has a letter outside ASCII; write it in its xn--… form"
        case .illegalCharacter(let byte) where byte > 0x20 && byte < 0x7F:
            return "the name has the character '\(Character(UnicodeScalar(byte)))';"
                + " only letters, digits, '-', '_' and '.' may stand in a name"
        case .illegalCharacter:
            return
                "the name has a blank or control character; only letters, digits, '-', '_' and '.' may stand in a name"
        case .misplacedHyphen: return "a part between dots begins or ends with '-'"
        case .trailingDot: return "the name ends with a dot; leave it out"
        case .ipAddress: return "that is an IP address; a server name is a DNS name such as www.example.com"
        case .misplacedWildcard:
            return "'*' may only be the whole first part, as in *.example.com, and stands for exactly one part"
        }
    }
}
