import HTTPFields

/// What a stored response answers: a URI of a site (RFC 9111 §2). The method GET is implied. `Vary` decides among the
/// responses of one key.
///
/// Keys are the same if they are byte by byte: `String` would take canonically equivalent texts for one, so that a
/// response to `/\u{212A}ey` were served for `/Key`.
public struct CacheKey: Hashable, Sendable {
    /// The site as the configuration names it. Two sites never share a stored response.
    public let site: String
    /// `scheme://host[:port]/path?query`, normalised.
    public let uri: String

    /// A key as it was read from a store or an administrator. The URI is taken as it is.
    public init(site: String, uri: String) {
        self.site = site
        self.uri = uri
    }

    /// The key of a request.
    ///
    /// - Parameters:
    ///   - scheme: `http` or `https`, in any letter case.
    ///   - authority: the host, with a port if it isn't the scheme's own.
    ///   - target: path and query as in the request line; an absolute URI is not accepted here.
    ///   - query: the site's rules.
    public init(site: String, scheme: String, authority: String, target: String, query: QueryRules = QueryRules()) {
        let prefix = Self.origin(scheme: scheme, authority: authority)
        self.init(site: site, uri: prefix + Self.normalised(target, query))
    }

    /// Path and query without scheme and authority, as they stand in the key.
    public var target: Substring { self.uri[self.targetStart...] }

    /// The path as it stands in the key. Path patterns are compared with it.
    public var path: Substring { Substring(self.target.utf8.prefix { $0 != UInt8(ascii: "?") }) }

    /// `scheme://host[:port]`.
    public var origin: Substring { self.uri[..<self.targetStart] }

    public static func == (one: CacheKey, other: CacheKey) -> Bool {
        Self.same(one.uri, other.uri) && Self.same(one.site, other.site)
    }

    public func hash(into hasher: inout Hasher) {
        Self.hash(self.site, into: &hasher) { hasher in
            self.uri.utf8.span.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }

    /// Each text with an end mark, so that texts hashed one after the other keep their bounds. In how many pieces the bytes of one text
    /// come makes no difference.
    static func hash(_ site: String, into hasher: inout Hasher, uri: (inout Hasher) -> Void) {
        site.utf8.span.withUnsafeBytes { hasher.combine(bytes: $0) }
        hasher.combine(0xFF as UInt8)
        uri(&hasher)
        hasher.combine(0xFF as UInt8)
    }

    /// Byte by byte.
    package static func same(_ one: String, _ other: String) -> Bool {
        let first = one.utf8.span
        let second = other.utf8.span
        return first.equals(0..<first.count, second, 0..<second.count)
    }

    private static func lowercased(_ text: String) -> String {
        if !text.utf8.contains(where: { $0 &- UInt8(ascii: "A") < 26 }) { return text }
        return String(decoding: text.utf8.map(ByteClass.lowercased), as: UTF8.self)
    }

    private var targetStart: String.Index {
        let view = self.uri.utf8
        var slashes = 0
        for index in view.indices where view[index] == UInt8(ascii: "/") {
            slashes += 1
            if slashes == 3 { return index }
        }
        return view.endIndex
    }

    /// The keys that a URI reference in a response field (`Location`, `Content-Location`) may mean, if it points to
    /// this key's own origin (RFC 9111 §4.4). References relative to the path are resolved as in RFC 3986 §5.2.
    public func resolving(_ reference: some StringProtocol, query: QueryRules) -> CacheKey? {
        guard let target = URIReference.target(of: Substring(reference), from: self) else { return nil }
        return CacheKey(site: self.site, uri: self.origin + Self.normalised(target, query))
    }

    /// Scheme and host in lower case, without the scheme's default port or a trailing dot.
    static func origin(scheme: String, authority: String) -> String {
        let scheme = Self.lowercased(scheme)
        var host = Substring(Self.lowercased(authority))
        let portStart = host.utf8.lastIndex(of: UInt8(ascii: ":"))
        var port: Substring = ""
        if let portStart, !host[portStart...].utf8.contains(UInt8(ascii: "]")) {
            port = host[host.utf8.index(after: portStart)...]
            host = host[..<portStart]
        }
        if host.utf8.count > 1, host.utf8.last == UInt8(ascii: ".") { host = host.dropLast() }
        let isDefault = port.isEmpty || (scheme == "https" && port == "443") || (scheme == "http" && port == "80")
        return isDefault ? "\(scheme)://\(host)" : "\(scheme)://\(host):\(port)"
    }

    static func normalised(_ target: String, _ rules: QueryRules) -> String {
        // Most targets need nothing done.
        var needsWork = false
        var hasQuery = false
        for byte in target.utf8 {
            if byte == UInt8(ascii: "%") || byte == UInt8(ascii: "#") { needsWork = true }
            if byte == UInt8(ascii: "?") { hasQuery = true }
        }
        if target.utf8.first == UInt8(ascii: "/"), !needsWork, !(hasQuery && rules.takesApart) { return target }

        var text = Substring(target)
        if let fragment = text.utf8.firstIndex(of: UInt8(ascii: "#")) { text = text[..<fragment] }
        // Nothing but a slash may follow the authority.
        if text.utf8.first != UInt8(ascii: "/") { text = Substring("/" + text) }
        let escaped = Substring(Self.escapesNormalised(text, decodesUnreserved: rules.decodesUnreserved))
        guard let mark = escaped.utf8.firstIndex(of: UInt8(ascii: "?")) else { return String(escaped) }
        let path = escaped[..<mark]
        guard let query = rules.normalised(escaped[escaped.utf8.index(after: mark)...]) else { return String(path) }
        return path + "?" + query
    }

    /// Percent-encodings with their digits in upper case, and decoded where that was asked for and changes no meaning.
    /// A dot is never decoded, so that no new `..` appears.
    private static func escapesNormalised(_ text: Substring, decodesUnreserved: Bool) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(text.utf8.count)
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%"), let high = rest.first, let highValue = ByteClass.hexadecimalDigit(high),
                let low = rest.dropFirst().first, let lowValue = ByteClass.hexadecimalDigit(low)
            else {
                out.append(byte)
                continue
            }
            rest = rest.dropFirst(2)
            let decoded = highValue << 4 | lowValue
            if decodesUnreserved, Self.isUnreserved(decoded), !Self.completesEscape(decoded, behind: out) {
                out.append(decoded)
            } else {
                out.append(byte)
                out.append(Self.hexDigit(highValue))
                out.append(Self.hexDigit(lowValue))
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Whether a digit would make an escape of a percent sign that was none: `%2%61` is not `%2a`.
    private static func completesEscape(_ byte: UInt8, behind out: [UInt8]) -> Bool {
        guard ByteClass.hexadecimalDigit(byte) != nil, let last = out.last else { return false }
        if last == UInt8(ascii: "%") { return true }
        // Only a digit stands between: `%&%61` are two parameters, whose order would else decide what is decoded.
        return ByteClass.hexadecimalDigit(last) != nil && out.dropLast().last == UInt8(ascii: "%")
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? value + UInt8(ascii: "0") : value - 10 + UInt8(ascii: "A")
    }

    /// Letters, digits, `-`, `_`, `~` (RFC 3986 §2.3 without the dot).
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
