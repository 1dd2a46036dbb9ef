public import HTTPFields
import NIOCore

/// Request fields that frameworks, application servers and other proxies trust, and that are no part of the key: what an
/// origin answers to a request with one of them is not what others asked for.
///
/// A request with such a field has nothing to do with the store, unless the site says that its origin may get the field unkeyed. Names
/// are compared with underscores taken for hyphens: servers that pass fields on as environment variables (CGI, WSGI,
/// Rack, FastCGI) don't tell them apart.
public struct UnkeyedFields: Hashable, Sendable {
    /// In lower case. A `*` at the end stands for any further characters.
    ///
    /// `Forwarded` and `X-Real-IP` are not here: the edge writes them itself, or is told to believe the proxy in front of it. Nor is
    /// `X-Forwarded-*` (``differing``), which counts only where such a proxy passes on something else than the request says itself.
    public static let names: [String] = [
        // Another method or target than the request's own.
        "x-http-method", "x-http-method-override", "x-method-override", "x-original-method", "x-original-uri",
        "x-original-url", "x-original-path", "x-rewrite-url", "x-envoy-original-path", "x-host", "x-original-host",
        "x-http-host-override", "x-script-name",
        // Scheme and address, as a proxy in front would tell them.
        "x-scheme", "x-url-scheme", "front-end-https", "client-ip", "true-client-ip", "x-client-ip",
        "x-cluster-client-ip", "x-original-forwarded-for", "x-originating-ip", "x-remote-addr", "x-remote-ip",
        "x-proxyuser-ip", "x-envoy-external-address", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ipcountry",
        "cf-visitor", "fastly-client-ip", "fastly-ssl", "x-azure-clientip", "x-azure-socketip", "x-appengine-user-ip",
        // Who the client is, as a proxy in front would have checked it (RFC 9440 among them).
        "client-cert", "client-cert-chain", "ssl-client-*", "x-ssl-client-*", "x-ssl-cert", "x-client-cert",
        "x-client-dn", "x-client-verify", "x-arr-clientcert", "remote-user", "x-remote-user", "x-remote-group",
        "x-authenticated-user", "x-auth-request-*", "x-webauth-user",
        // What frameworks say to themselves.
        "rsc", "next-action", "next-router-*", "next-url", "x-invoke-*", "x-matched-path", "x-middleware-*",
        "x-nextjs-data", "x-now-route-matches", "x-react-router-*", "x-accel-mapping", "x-sendfile-type", "proxy",
    ]

    /// Those that count only where they differ (`SelectorSource.forEachDifferingClaim`).
    public static let differing = "x-forwarded-*"

    private struct Pattern: Hashable {
        /// Without the star.
        var bytes: [UInt8]
        var isPrefix: Bool

        /// - Parameter name: in lower case.
        init(_ name: [UInt8]) {
            self.isPrefix = name.last == UInt8(ascii: "*")
            self.bytes = name.dropLast(self.isPrefix ? 1 : 0).map(UnkeyedFields.folded)
        }

        /// Whether every name that a setting stands for is one: it may end with a `*` itself.
        func covers(_ name: [UInt8]) -> Bool {
            name.count >= self.bytes.count && name.prefix(self.bytes.count).map(UnkeyedFields.folded) == self.bytes
        }

        func matches(_ bytes: borrowing Span<UInt8>, _ name: Range<Int>) -> Bool {
            guard self.isPrefix ? name.count > self.bytes.count : name.count == self.bytes.count else { return false }
            for offset in 0..<self.bytes.count
            where UnkeyedFields.folded(bytes[name.lowerBound &+ offset]) != self.bytes[offset] { return false }
            return true
        }
    }

    /// Those with a number, in their usual spelling.
    private let known: KnownFieldSet
    private let patterns: [Pattern]
    /// Of these, the whole names by their length, and the others: a request has many fields, and each is looked for here.
    private let wholeNames: [[Pattern]]
    private let prefixes: [Pattern]
    private let allowed: [Pattern]

    /// - Parameter allowed: what the origin gets unkeyed; a `*` at the end is as in ``names``.
    public init(allowing allowed: [FieldName] = []) {
        self.allowed = allowed.map { Pattern($0.bytes) }
        let patterns = Self.names.map { Pattern(Array($0.utf8)) }
        self.patterns = patterns
        self.prefixes = patterns.filter(\.isPrefix)
        let whole = patterns.filter { !$0.isPrefix }
        let longest = whole.map(\.bytes.count).max() ?? 0
        self.wholeNames = (0...longest).map { length in whole.filter { $0.bytes.count == length } }
        var known = KnownFieldSet()
        for field in KnownField.allCases {
            let name = field.name.map { $0 }
            let isListed = self.patterns.contains { $0.matches(name.span, 0..<name.count) }
            if isListed, !self.allowed.contains(where: { $0.matches(name.span, 0..<name.count) }) {
                known.insert(field)
            }
        }
        self.known = known
    }

    /// Whether a name is one of those that keep a request out of the store, unless the site allows it.
    public static func lists(_ name: FieldName) -> Bool {
        let bytes = name.bytes
        if Pattern(Array(Self.differing.utf8)).covers(bytes) { return true }
        return Self.standard.patterns.contains { $0.matches(bytes.span, 0..<bytes.count) }
    }

    /// With none allowed.
    public static let standard = UnkeyedFields()

    /// Whether the origin may get a field unkeyed.
    func allows(_ field: FieldRecord, of fields: FieldSection) -> Bool {
        if self.allowed.isEmpty { return false }
        let bytes = fields.bytes.readableBytesUInt8Span
        for pattern in self.allowed where pattern.matches(bytes, field.name) { return true }
        return false
    }

    /// Whether a request has such a field.
    func isIn(_ fields: FieldSection) -> Bool {
        if fields.known.intersects(self.known) { return true }
        let bytes = fields.bytes.readableBytesUInt8Span
        for field in fields where field.known == nil {
            let name = field.name
            if self.has(bytes, name), !self.allowed.contains(where: { $0.matches(bytes, name) }) { return true }
        }
        return false
    }

    private func has(_ bytes: borrowing Span<UInt8>, _ name: Range<Int>) -> Bool {
        if name.count < self.wholeNames.count {
            for pattern in self.wholeNames[name.count] where pattern.matches(bytes, name) { return true }
        }
        for pattern in self.prefixes where pattern.matches(bytes, name) { return true }
        return false
    }

    private static func folded(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : ByteClass.lowercased(byte)
    }
}
