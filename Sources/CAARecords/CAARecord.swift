/// A record that says which authorities may issue certificates for a name (RFC 8659 §4.1).
public struct CAARecord: Equatable, Sendable {
    /// An authority that does not know the tag must not issue.
    public var isCritical: Bool
    /// In lower case: `issue`, `issuewild`, `iodef` and others.
    public var tag: String
    public var value: [UInt8]

    public init(isCritical: Bool = false, tag: String, value: [UInt8]) {
        self.isCritical = isCritical
        self.tag = tag
        self.value = value
    }

    /// - Parameter data: flags, the tag's length, the tag, the value. nil if that is not what it is.
    init?(data: ArraySlice<UInt8>) {
        guard let flags = data.first, let length = data.dropFirst().first.map(Int.init), length > 0,
            data.count >= 2 + length
        else { return nil }
        let tag = data.dropFirst(2).prefix(length)
        let isName = tag.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        }
        guard isName else { return nil }
        self.isCritical = flags & 0x80 != 0
        self.tag = String(decoding: tag, as: UTF8.self).lowercased()
        self.value = Array(data.dropFirst(2 + length))
    }
}

/// What an `issue` property says (RFC 8659 §4.2): which authority, and under which conditions (RFC 8657).
struct IssueProperty: Equatable {
    /// The authority's name; nil: no authority may issue. A value that cannot be read means the same.
    var issuer: String?
    /// In their order; names in lower case.
    var parameters: [Parameter]

    struct Parameter: Equatable {
        var name: String
        var value: String
    }

    init(_ value: [UInt8]) {
        self.issuer = nil
        self.parameters = []
        let parts = value.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map(Self.trimmed)
        guard let name = parts.first, let issuer = Self.domain(name) else { return }
        var parameters: [Parameter] = []
        for (index, part) in parts.enumerated().dropFirst() {
            // Nothing after a semicolon at the very end.
            if part.isEmpty, index == parts.count - 1 { continue }
            guard let parameter = Self.parameter(part) else { return }
            parameters.append(parameter)
        }
        self.issuer = issuer
        self.parameters = parameters
    }

    /// Whether a certificate takes more than passing a check against what answers for the name: an account of the owner's, or
    /// a change of the owner's DNS.
    var isBound: Bool {
        guard self.issuer != nil else { return true }
        if self.parameters.contains(where: { $0.name == "accounturi" && !$0.value.isEmpty }) { return true }
        let methods = self.parameters.filter { $0.name == "validationmethods" }
        guard let list = methods.first, methods.count == 1 else { return false }
        // Of the methods that authorities have registered, those by DNS are the ones that no edge can pass.
        return list.value.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { $0.hasPrefix("dns-") }
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        let end = bytes.lastIndex { !isBlank($0) }.map { $0 + 1 } ?? bytes.startIndex
        return bytes[..<end].drop(while: isBlank)
    }

    private static func domain(_ bytes: ArraySlice<UInt8>) -> String? {
        guard (1...253).contains(bytes.count), bytes.allSatisfy({ Self.isNameByte($0) || $0 == UInt8(ascii: ".") })
        else { return nil }
        return String(decoding: bytes, as: UTF8.self).lowercased()
    }

    private static func parameter(_ bytes: ArraySlice<UInt8>) -> Parameter? {
        guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        let name = Self.trimmed(bytes[..<equals])
        let value = Self.trimmed(bytes[(equals + 1)...])
        guard !name.isEmpty, name.allSatisfy(Self.isNameByte), value.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        return Parameter(
            name: String(decoding: name, as: UTF8.self).lowercased(), value: String(decoding: value, as: UTF8.self))
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || byte == UInt8(ascii: "-")
    }
}
