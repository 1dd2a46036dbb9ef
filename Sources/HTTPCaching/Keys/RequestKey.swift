import HTTPFields
public import NIOCore

/// The key of a request in the parts that it stands in. It is looked up by them; a hit needs nothing else of it.
///
/// A target that has to be brought into its normal form makes a ``CacheKey`` at once.
public struct RequestKey: Sendable {
    private static let separator = "://"

    private let site: String
    private let scheme: String
    private let host: String
    private let target: ByteBuffer
    /// In the place of the parts, where they are not the key as they stand.
    private let normalised: CacheKey?

    /// - Parameters:
    ///   - scheme: `http` or `https`, in lower case.
    ///   - normalisedHost: in lower case, without a trailing dot and without the scheme's own port.
    ///   - target: path and query as in the request line: visible ASCII.
    ///   - query: the site's rules.
    public init(site: String, scheme: String, normalisedHost host: String, target: ByteBuffer, query: QueryRules) {
        self.site = site
        self.scheme = scheme
        self.host = host
        self.target = target
        if Self.needsNoWork(target, query) {
            self.normalised = nil
        } else {
            let normalised = CacheKey.normalised(String(buffer: target), query)
            self.normalised = CacheKey(site: site, uri: scheme + Self.separator + host + normalised)
        }
    }

    private static func needsNoWork(_ target: ByteBuffer, _ rules: QueryRules) -> Bool {
        let takesApart = rules.takesApart
        return target.withUnsafeReadableBytes { bytes in
            guard bytes.first == UInt8(ascii: "/") else { return false }
            for byte in bytes {
                if byte == UInt8(ascii: "%") || byte == UInt8(ascii: "#") { return false }
                if byte == UInt8(ascii: "?"), takesApart { return false }
            }
            return true
        }
    }

    /// Put together with each use.
    public var key: CacheKey {
        if let normalised { return normalised }
        let count = self.scheme.utf8.count + 3 + self.host.utf8.count + self.target.readableBytes
        return CacheKey(
            site: self.site,
            uri: String(unsafeUninitializedCapacity: count) { buffer in
                let memory = UnsafeMutableRawBufferPointer(buffer)
                var end = Self.put(self.scheme, at: 0, of: memory)
                end = Self.put(Self.separator, at: end, of: memory)
                end = Self.put(self.host, at: end, of: memory)
                self.target.withUnsafeReadableBytes {
                    UnsafeMutableRawBufferPointer(rebasing: memory[end...]).copyMemory(from: $0)
                }
                return end + self.target.readableBytes
            })
    }

    /// - Returns: the place behind it.
    private static func put(_ text: String, at place: Int, of memory: UnsafeMutableRawBufferPointer) -> Int {
        let bytes = text.utf8.span
        bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: memory[place...]).copyMemory(from: $0) }
        return place + bytes.count
    }

    /// As ``key`` hashes.
    public func hash(into hasher: inout Hasher) {
        if let normalised { return normalised.hash(into: &hasher) }
        CacheKey.hash(self.site, into: &hasher) { hasher in
            self.scheme.utf8.span.withUnsafeBytes { hasher.combine(bytes: $0) }
            Self.separator.utf8.span.withUnsafeBytes { hasher.combine(bytes: $0) }
            self.host.utf8.span.withUnsafeBytes { hasher.combine(bytes: $0) }
            self.target.withUnsafeReadableBytes { hasher.combine(bytes: $0) }
        }
    }

    /// Whether an entry of a store has this key, byte by byte. Makes nothing.
    ///
    /// - Parameters:
    ///   - site: the entry's.
    ///   - bytes: of its URI, all; or what follows ``schemeOfSites`` and the site's name, if it begins so.
    package func isKey(site: String, uri bytes: UnsafeRawBufferPointer, isBehindSite: Bool) -> Bool {
        guard CacheKey.same(self.site, site) else { return false }
        if let normalised { return Self.isSame(normalised, bytes, isBehindSite: isBehindSite) }
        let host = self.host.utf8.span
        var matching = Matching(bytes)
        var hostStart = 0
        if isBehindSite {
            let name = site.utf8.span
            // A site may be called after more than its host, as a library's caller likes it.
            guard CacheKey.same(self.scheme, "https"), host.count >= name.count,
                host.equals(0..<name.count, name, 0..<name.count)
            else { return Self.isSame(self.key, bytes, isBehindSite: true) }
            hostStart = name.count
        } else {
            guard matching.takes(self.scheme.utf8.span, from: 0), matching.takes(Self.separator.utf8.span, from: 0)
            else {
                return false
            }
        }
        guard matching.takes(host, from: hostStart) else { return false }
        return matching.takes(self.target.readableBytesUInt8Span, from: 0) && matching.isAtEnd
    }

    /// Scheme and separator that stand in front of a site's name in most keys.
    package static let schemeOfSites = "https://"

    private static func isSame(_ key: CacheKey, _ bytes: UnsafeRawBufferPointer, isBehindSite: Bool) -> Bool {
        let uri = key.uri.utf8.span
        var start = 0
        if isBehindSite {
            guard key.beginsWithSite else { return false }
            start = Self.schemeOfSites.utf8.count + key.site.utf8.count
        }
        var matching = Matching(bytes)
        return matching.takes(uri, from: start) && matching.isAtEnd
    }

    /// Compares a text that is in one piece with one that is in several.
    private struct Matching: ~Copyable {
        private let bytes: UnsafeRawBufferPointer
        private var place = 0

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        var isAtEnd: Bool { self.place == self.bytes.count }

        /// Whether the rest begins with a part, which is passed by then.
        mutating func takes(_ part: borrowing Span<UInt8>, from start: Int) -> Bool {
            let end = self.place + part.count - start
            guard end <= self.bytes.count else { return false }
            defer { self.place = end }
            let text = self.bytes.assumingMemoryBound(to: UInt8.self).span
            return text.equals(self.place..<end, part, start..<part.count)
        }
    }
}

extension CacheKey {
    /// The URI begins with ``RequestKey/schemeOfSites`` and the site's name.
    package var beginsWithSite: Bool {
        let uri = self.uri.utf8.span
        let scheme = RequestKey.schemeOfSites.utf8.span
        let site = self.site.utf8.span
        let end = scheme.count + site.count
        return uri.count >= end && uri.equals(0..<scheme.count, scheme, 0..<scheme.count)
            && uri.equals(scheme.count..<end, site, 0..<site.count)
    }
}
