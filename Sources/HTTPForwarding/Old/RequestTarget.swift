/// The four forms of a request target (RFC 9112 §3.2).
enum RequestTarget: Equatable {
    /// Path and optional query, as received.
    case origin
    /// `scheme://authority` and what follows, which is empty, or begins with `/` or `?`.
    case absolute(scheme: Substring, authority: Substring, rest: Substring)
    case asterisk
    /// Only for CONNECT.
    case authority

    /// `nil` where the text has none of these forms, or has a byte that no target may have: controls, space, the
    /// start of a fragment, or anything outside ASCII (RFC 3986 §2): decoded texts may be equivalent where bytes are not.
    init?(_ text: String, isConnect: Bool) {
        guard Self.hasOnlyVisibleBytes(text) else { return nil }
        let view = text.utf8
        guard let first = view.first else { return nil }
        if isConnect {
            self = .authority
        } else if first == UInt8(ascii: "/") {
            self = .origin
        } else if first == UInt8(ascii: "*"), view.count == 1 {
            self = .asterisk
        } else {
            guard let colon = view.firstIndex(of: UInt8(ascii: ":")) else { return nil }
            let scheme = view[..<colon]
            guard !scheme.isEmpty, scheme.allSatisfy(Self.isSchemeByte) else { return nil }
            let tail = view[view.index(after: colon)...]
            guard tail.starts(with: "//".utf8) else { return nil }
            let hierarchy = tail.dropFirst(2)
            let authorityEnd =
                hierarchy.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? hierarchy.endIndex
            self = .absolute(
                scheme: Substring(scheme), authority: Substring(hierarchy[..<authorityEnd]),
                rest: Substring(hierarchy[authorityEnd...]))
        }
    }

    private static func hasOnlyVisibleBytes(_ text: String) -> Bool {
        for byte in text.utf8 where byte <= 0x20 || byte >= 0x7F || byte == UInt8(ascii: "#") { return false }
        return true
    }

    private static func isSchemeByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
