public import HTTPFields

/// Request fields as `Vary` compares them: what RFC 9111 §4.1 allows to be taken for the same, is the same here.
///
/// | field | what doesn't count |
/// | --- | --- |
/// | those that are defined as lists (``isList(_:)``) | how it is split into lines, spaces around commas, empty members |
/// | `Accept`, `Accept-Charset`, `Accept-Encoding`, `Accept-Language` | order of members, spaces, `q=1`, zeros at the end of a `q` |
/// | the last three | letter case |
/// | `Accept-Encoding` | the `x-` of `x-gzip`, members with `q=0` where nothing else would allow them |
///
/// Longer ones than ``maximumBytes``, and preferences of more members than ``maximumMembers``, are not normalised: no client has such, and
/// sorting them would be work without end. Their lines are compared as they are.
///
/// Of all other fields each byte counts: a comma in free text separates nothing (RFC 9110 §5.6.1 is for fields that are
/// defined as lists).
public enum VaryNormalisation {
    /// Of all lines of a name together.
    public static let maximumBytes = 512
    /// Of a field whose members are sorted, empty ones included.
    public static let maximumMembers = 32

    /// - Parameter lines: the values of all lines of the name, in order; at least one.
    public static func value(of name: FieldName, _ lines: [[UInt8]]) -> [UInt8] {
        if lines.reduce(0, { $0 + $1.count }) > self.maximumBytes { return self.asSent(lines) }
        switch name.known {
        case .accept, .acceptCharset, .acceptEncoding, .acceptLanguage:
            if self.hasManyMembers(lines) { return self.asSent(lines) }
        default: break
        }
        return switch name.known {
        case .acceptEncoding: self.encodings(lines)
        case .acceptLanguage, .acceptCharset: self.joined(self.preferences(lines, foldsCase: true))
        case .accept: self.joined(self.preferences(lines, foldsCase: false))
        case _ where self.isList(name): self.list(lines)
        default: self.asSent(lines)
        }
    }

    /// A line break can't be part of a value.
    private static func asSent(_ lines: [[UInt8]]) -> [UInt8] {
        lines.count == 1 ? lines[0] : Array(lines.joined(separator: "\n".utf8))
    }

    private static func hasManyMembers(_ lines: [[UInt8]]) -> Bool {
        var count = 0
        for line in lines { FieldList.forEach(line.span, 0..<line.count, .quoted) { _ in count += 1 } }
        return count > self.maximumMembers
    }

    /// Whether each byte of the field counts.
    static func isPlain(_ name: FieldName) -> Bool {
        switch name.known {
        case .accept, .acceptCharset, .acceptEncoding, .acceptLanguage: false
        default: !self.isList(name)
        }
    }

    /// Whether a request field's definition is a list (RFC 9110, 9111, 7239, 7240, 8941).
    static func isList(_ name: FieldName) -> Bool {
        switch name.known {
        case .accept, .acceptCharset, .acceptEncoding, .acceptLanguage, .cacheControl, .connection, .contentLanguage,
            .expect, .forwarded, .ifMatch, .ifNoneMatch, .pragma, .secCHUA, .te, .trailer, .upgrade, .via,
            .xForwardedFor:
            true
        case nil: self.otherLists.contains(name)
        default: false
        }
    }

    private static let otherLists = Set(
        ["accept-datetime", "prefer", "sec-ch-ua-form-factors", "sec-ch-ua-full-version-list"].compactMap {
            FieldName($0)
        })

    private static func joined(_ members: [[UInt8]]) -> [UInt8] { Array(members.joined(separator: ",".utf8)) }

    private static func list(_ lines: [[UInt8]]) -> [UInt8] {
        if lines.count == 1,
            !lines[0].contains(where: { $0 == UInt8(ascii: ",") || ByteClass.isWhitespace($0) })
        {
            return lines[0]
        }
        var members: [[UInt8]] = []
        for line in lines {
            FieldList.forEach(line.span, 0..<line.count, .quoted) { if !$0.isEmpty { members.append(Array(line[$0])) } }
        }
        return self.joined(members)
    }

    /// Members with their weight, sorted.
    private static func preferences(_ lines: [[UInt8]], foldsCase: Bool) -> [[UInt8]] {
        var members: [[UInt8]] = []
        for line in lines {
            let bytes = line.span
            FieldList.forEach(bytes, 0..<line.count, .quoted) { member in
                if member.isEmpty { return }
                var text: [UInt8] = []
                var isFirst = true
                self.forEachParameter(bytes, member) { part in
                    if !isFirst, let weight = self.weight(bytes, part) {
                        if !weight.elementsEqual("1".utf8) { text += Array(";q=".utf8) + weight }
                    } else {
                        if !isFirst { text.append(UInt8(ascii: ";")) }
                        for position in part {
                            text.append(foldsCase ? ByteClass.lowercased(bytes[position]) : bytes[position])
                        }
                    }
                    isFirst = false
                }
                members.append(text)
            }
        }
        members.sort { $0.lexicographicallyPrecedes($1) }
        return members
    }

    private static func encodings(_ lines: [[UInt8]]) -> [UInt8] {
        var members = self.preferences(lines, foldsCase: true).map { member in
            self.isNamed(member, "x-gzip") ? Array(member.dropFirst(2)) : member
        }
        if !members.contains(where: { self.isNamed($0, "*") }) {
            // Refusing what wasn't offered changes nothing; refusing the plain form does.
            members.removeAll { $0.suffix(4).elementsEqual(";q=0".utf8) && !self.isNamed($0, "identity") }
        }
        return self.joined(Set(members).sorted { $0.lexicographicallyPrecedes($1) })
    }

    /// Whether a member has this name, with parameters or without.
    private static func isNamed(_ member: [UInt8], _ name: String) -> Bool {
        member.starts(with: name.utf8)
            && (member.count == name.utf8.count || member[name.utf8.count] == UInt8(ascii: ";"))
    }

    /// The parts between semicolons outside quoted strings, trimmed.
    private static func forEachParameter(
        _ bytes: borrowing Span<UInt8>, _ member: Range<Int>, _ body: (Range<Int>) -> Void
    ) {
        var start = member.lowerBound
        var isQuoted = false
        var position = member.lowerBound
        while position < member.upperBound {
            let byte = bytes[position]
            if isQuoted, byte == UInt8(ascii: "\\") {
                position += 1
            } else if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if byte == UInt8(ascii: ";"), !isQuoted {
                body(bytes.trimmed(start..<position))
                start = position + 1
            }
            position += 1
        }
        body(bytes.trimmed(start..<member.upperBound))
    }

    /// The number of `q=…` without zeros at its end; `nil` for other parameters, and for what is no weight.
    private static func weight(_ bytes: borrowing Span<UInt8>, _ part: Range<Int>) -> [UInt8]? {
        guard part.count >= 3, part.count <= 7, bytes.begins(part, "q=") else { return nil }
        let first = bytes[part.lowerBound + 2]
        guard first == UInt8(ascii: "0") || first == UInt8(ascii: "1") else { return nil }
        if part.count == 3 { return [first] }
        guard bytes[part.lowerBound + 3] == UInt8(ascii: ".") else { return nil }
        var digits = bytes.copy((part.lowerBound + 4)..<part.upperBound)
        guard digits.allSatisfy(ByteClass.isDigit) else { return nil }
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        if digits.isEmpty { return [first] }
        return first == UInt8(ascii: "1") ? nil : Array("0.".utf8) + digits
    }
}
