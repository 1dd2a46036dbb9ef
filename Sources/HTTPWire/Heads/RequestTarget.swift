import HTTPFields

/// The four forms of a request target (RFC 9112 §3.2), with ranges that count from the head's first byte.
public enum RequestTarget: Equatable, Sendable {
    /// A path with or without query; it begins with `/`.
    case origin
    /// `*`: OPTIONS only.
    case asterisk
    /// Host and port: CONNECT only.
    case authority
    /// `rest` is what follows the authority: a path, a query, both or nothing.
    case absolute(scheme: Range<Int>, authority: Range<Int>, rest: Range<Int>)

    /// - Parameter target: where it stands. It holds visible ASCII only, at least one byte, and no `#`.
    init(_ bytes: borrowing Span<UInt8>, _ target: Range<Int>, method: RequestMethod) throws(WireFault) {
        if method == .connect {
            guard Self.isAuthority(bytes, target) else { throw .badTarget }
            self = .authority
        } else if bytes[target.lowerBound] == UInt8(ascii: "/") {
            self = .origin
        } else if bytes[target.lowerBound] == UInt8(ascii: "*"), target.count == 1 {
            guard method == .options else { throw .badTarget }
            self = .asterisk
        } else {
            self = try Self.absolute(bytes, target)
        }
    }

    /// RFC 3986 §3.1, with the authority that `http` and `https` need (RFC 9110 §4.2).
    private static func absolute(
        _ bytes: borrowing Span<UInt8>, _ target: Range<Int>
    ) throws(WireFault) -> RequestTarget {
        var position = target.lowerBound
        while position < target.upperBound, Self.isSchemeByte(bytes[position]) { position += 1 }
        let scheme = target.lowerBound..<position
        guard !scheme.isEmpty, !ByteClass.isDigit(bytes[scheme.lowerBound]),
            ByteClass.lowercased(bytes[scheme.lowerBound]) >= UInt8(ascii: "a"),
            target.upperBound - position > 3, bytes[position] == UInt8(ascii: ":"),
            bytes[position + 1] == UInt8(ascii: "/"), bytes[position + 2] == UInt8(ascii: "/")
        else { throw .badTarget }
        let start = position + 3
        position = start
        while position < target.upperBound, bytes[position] != UInt8(ascii: "/"), bytes[position] != UInt8(ascii: "?") {
            position += 1
        }
        guard position > start else { throw .badTarget }
        return .absolute(scheme: scheme, authority: start..<position, rest: position..<target.upperBound)
    }

    private static func isSchemeByte(_ byte: UInt8) -> Bool {
        ByteClass.lowercased(byte) &- UInt8(ascii: "a") < 26 || ByteClass.isDigit(byte) || byte == UInt8(ascii: "+")
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }

    /// A host, a colon and a port (RFC 9112 §3.2.3). Which hosts there are is not decided here.
    private static func isAuthority(_ bytes: borrowing Span<UInt8>, _ target: Range<Int>) -> Bool {
        var digits = 0
        var position = target.upperBound
        while position > target.lowerBound, ByteClass.isDigit(bytes[position - 1]) {
            digits += 1
            position -= 1
        }
        guard digits >= 1, digits <= 5, position - target.lowerBound >= 2, bytes[position - 1] == UInt8(ascii: ":")
        else { return false }
        for index in target.lowerBound..<(position - 1) where !Self.isHostByte(bytes[index]) { return false }
        return true
    }

    /// What a registered name or a bracketed address may hold (RFC 3986 §3.2.2), percent signs included.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "/"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "?"),
            UInt8(ascii: "@"), UInt8(ascii: "\\"), UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "{"),
            UInt8(ascii: "|"), UInt8(ascii: "}"), UInt8(ascii: ","):
            false
        default: true
        }
    }
}
