import HTTPFields

/// URI references in response fields, resolved against a key (RFC 3986 §5.2).
enum URIReference {
    /// Path and query of what `reference` points to, if that is on the origin of `base`; nil otherwise.
    static func target(of reference: Substring, from base: CacheKey) -> String? {
        var rest = Substring(reference.utf8.drop(while: ByteClass.isWhitespace))
        while let last = rest.utf8.last, ByteClass.isWhitespace(last) { rest = rest.dropLast() }
        if let fragment = rest.utf8.firstIndex(of: UInt8(ascii: "#")) { rest = rest[..<fragment] }
        let baseScheme = base.origin.prefix { $0 != ":" }

        var scheme: String?
        if let colon = rest.utf8.firstIndex(of: UInt8(ascii: ":")), Self.isScheme(rest[..<colon]) {
            scheme = String(rest[..<colon])
            rest = rest[rest.utf8.index(after: colon)...]
        }
        if rest.utf8.starts(with: "//".utf8) {
            rest = rest.dropFirst(2)
            let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            let authority = String(rest[..<end])
            // Another's user information points to the same server, but not to what we store.
            guard !authority.utf8.contains(UInt8(ascii: "@")) else { return nil }
            let origin = CacheKey.origin(scheme: scheme ?? String(baseScheme), authority: authority)
            guard origin == base.origin else { return nil }
            rest = rest[end...]
            return Self.withoutDots(rest.utf8.first == UInt8(ascii: "/") ? String(rest) : "/" + rest)
        }
        // A scheme without an authority ("mailto:", "https:page") names no resource here.
        guard scheme == nil else { return nil }
        if rest.isEmpty { return String(base.target) }
        if rest.utf8.first == UInt8(ascii: "/") { return Self.withoutDots(String(rest)) }
        if rest.utf8.first == UInt8(ascii: "?") { return String(base.path) + rest }
        guard let slash = base.path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return Self.withoutDots("/" + rest) }
        return Self.withoutDots(String(base.path[...slash]) + rest)
    }

    private static func isScheme(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, ByteClass.lowercased(first) &- UInt8(ascii: "a") < 26 else { return false }
        return text.utf8.allSatisfy { byte in
            ByteClass.lowercased(byte) &- UInt8(ascii: "a") < 26 || ByteClass.isDigit(byte)
                || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
    }

    /// Path and query with the segments `.` and `..` resolved (RFC 3986 §5.2.4).
    private static func withoutDots(_ target: String) -> String {
        let path = Substring(target.utf8.prefix { $0 != UInt8(ascii: "?") })
        let query = target[path.endIndex...]
        var kept: [Substring] = []
        let segments = path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        for (index, bytes) in segments.enumerated() {
            let segment = Substring(bytes)
            let isLast = index == segments.count - 1
            switch segment {
            case ".":
                if isLast { kept.append("") }
            case "..":
                if !kept.isEmpty { kept.removeLast() }
                if isLast { kept.append("") }
            default: kept.append(segment)
            }
        }
        return "/" + kept.joined(separator: "/") + query
    }
}
