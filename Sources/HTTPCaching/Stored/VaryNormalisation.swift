public import NIOHTTP1

/// Request fields as `Vary` compares them: what RFC 9111 §4.1 allows to be taken for the same, is the same here.
///
/// | field | what doesn't count |
/// | --- | --- |
/// | those that are defined as lists (``listFields``) | how it is split into lines, spaces around commas |
/// | `Accept`, `Accept-Charset`, `Accept-Encoding`, `Accept-Language` | order of members, spaces, `q=1`, zeros at the end of a `q` |
/// | the last three | letter case |
/// | `Accept-Encoding` | the `x-` of `x-gzip`, members with `q=0` where nothing else would allow them |
///
/// Of all other fields each byte counts: a comma in free text separates nothing (RFC 9110 §5.6.1 is for fields that are
/// defined as lists).
public enum VaryNormalisation {
    /// - Parameter name: in lower case.
    /// - Returns: `nil` if the request has no such field.
    public static func value(of name: String, in request: HTTPHeaders) -> String? {
        var first: String?
        var lines: [String] = []
        for (other, value) in request where FieldText.sameName(other, name) {
            if let first {
                if lines.isEmpty { lines.append(first) }
                lines.append(value)
            } else {
                first = value
            }
        }
        guard let first else { return nil }
        if lines.isEmpty {
            if name == "accept-encoding", let usual = Self.usualEncodings(first) { return usual }
            lines = [first]
        }
        switch name {
        case "accept-encoding": return Self.encodings(lines)
        case "accept-language", "accept-charset": return Self.preferences(lines, foldsCase: true).joined(separator: ",")
        case "accept": return Self.preferences(lines, foldsCase: false).joined(separator: ",")
        case let name where Self.listFields.contains(name): return Self.list(lines)
        // A line break can't be part of a value.
        default: return lines.joined(separator: "\n")
        }
    }

    /// Request fields whose definition is a list (RFC 9110, 9111, 7239, 7240, 8941), in lower case.
    static let listFields: Set<String> = [
        "accept", "accept-charset", "accept-datetime", "accept-encoding", "accept-language", "cache-control",
        "connection", "content-language", "expect", "forwarded", "if-match", "if-none-match", "pragma", "prefer",
        "sec-ch-ua", "sec-ch-ua-form-factors", "sec-ch-ua-full-version-list", "te", "trailer", "upgrade", "via",
        "x-forwarded-for",
    ]

    /// What browsers and common clients send, without taking it apart: every hit on a varying response asks.
    private static func usualEncodings(_ line: String) -> String? {
        switch line {
        case "gzip, deflate, br, zstd": "br,deflate,gzip,zstd"
        case "gzip, deflate, br": "br,deflate,gzip"
        case "gzip, deflate": "deflate,gzip"
        case "gzip": "gzip"
        case "identity": "identity"
        default: nil
        }
    }

    private static func list(_ lines: [String]) -> String {
        if lines.count == 1, !lines[0].utf8.contains(where: { $0 == UInt8(ascii: ",") || FieldText.isSpace($0) }) {
            return lines[0]
        }
        var members: [Substring] = []
        for line in lines { FieldText.forEachElement(line) { members.append($0) } }
        return members.joined(separator: ",")
    }

    /// Members with their weight, sorted.
    private static func preferences(_ lines: [String], foldsCase: Bool) -> [String] {
        var members: [String] = []
        for line in lines {
            FieldText.forEachElement(line) { member in
                if member.isEmpty { return }
                var text = ""
                for (index, part) in Self.parameters(member).enumerated() {
                    if index > 0, let weight = Self.weight(part) {
                        if weight != "1" { text += ";q=" + weight }
                    } else {
                        if index > 0 { text += ";" }
                        text += foldsCase ? FieldText.lowercased(part) : String(part)
                    }
                }
                members.append(text)
            }
        }
        members.sort()
        return members
    }

    private static func encodings(_ lines: [String]) -> String {
        var members = Self.preferences(lines, foldsCase: true).map { member in
            member == "x-gzip" || member.hasPrefix("x-gzip;") ? String(member.dropFirst(2)) : member
        }
        let hasWildcard = members.contains { $0 == "*" || $0.hasPrefix("*;") }
        if !hasWildcard {
            // Refusing what wasn't offered changes nothing; refusing the plain form does.
            members.removeAll { $0.hasSuffix(";q=0") && !$0.hasPrefix("identity;") }
        }
        return Set(members).sorted().joined(separator: ",")
    }

    /// The parts between semicolons outside quoted strings, trimmed.
    private static func parameters(_ member: Substring) -> [Substring] {
        var parts: [Substring] = []
        var start = member.startIndex
        var quoted = false
        var escaped = false
        for index in member.utf8.indices {
            let byte = member.utf8[index]
            if escaped {
                escaped = false
            } else if quoted, byte == UInt8(ascii: "\\") {
                escaped = true
            } else if byte == UInt8(ascii: "\"") {
                quoted.toggle()
            } else if byte == UInt8(ascii: ";"), !quoted {
                parts.append(FieldText.trimmed(member[start..<index]))
                start = member.utf8.index(after: index)
            }
        }
        parts.append(FieldText.trimmed(member[start...]))
        return parts
    }

    /// The number of `q=…` without zeros at its end; `nil` for other parameters, and for what is no weight.
    private static func weight(_ part: Substring) -> String? {
        guard part.utf8.count >= 3, FieldText.equal(part.prefix(2), "q=") else { return nil }
        let text = part.dropFirst(2)
        guard let first = text.utf8.first, first == UInt8(ascii: "0") || first == UInt8(ascii: "1") else { return nil }
        let rest = text.dropFirst()
        if rest.isEmpty { return String(text) }
        guard rest.utf8.first == UInt8(ascii: "."), rest.utf8.count <= 4,
            rest.dropFirst().utf8.allSatisfy(FieldText.isDigit)
        else { return nil }
        var digits = rest.dropFirst()
        while digits.last == "0" { digits = digits.dropLast() }
        if digits.isEmpty { return first == UInt8(ascii: "1") ? "1" : "0" }
        return first == UInt8(ascii: "1") ? nil : "0." + digits
    }
}
