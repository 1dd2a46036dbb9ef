public import HTTPCaching

/// What a purge is about.
public enum PurgeScope: Equatable, Sendable {
    /// Everything stored for one URI: all variants.
    case key(CacheKey)
    /// Every URI of the site that begins with the prefix, which is compared as text: `https://www.example.test/a/`.
    case prefix(site: String, uri: String)
    /// Every URI on one of the hosts, whatever the site.
    case hosts(HostSet)
    /// Everything of a site, as the configuration names it.
    case site(String)
    /// What bears the tag; of one site, or of all if nil.
    case tag(String, site: String?)
    /// What bears a tag that is one of these, or begins with one that has `*` at its end.
    case tags([String])
    case everything

    /// Every URI on a host: `www.example.test`, in lower case, with its port where the URI has one.
    public static func host(_ authority: String) -> PurgeScope { .hosts(HostSet(authorities: [authority])) }

    /// Whether a response under this key and with these tags is meant.
    func covers(_ key: CacheKey, tags: [String]) -> Bool {
        switch self {
        case .tag(let tag, let site):
            (site == nil || site == key.site) && tags.contains(tag)
        case .tags(let patterns):
            tags.contains { tag in patterns.contains { Self.matches(tag, $0) } }
        default:
            self.covers(key) ?? false
        }
    }

    /// The same by the key alone: nil if that depends on the tags.
    func covers(_ key: CacheKey) -> Bool? {
        switch self {
        case .key(let other): key == other
        case .prefix(let site, let prefix): key.site == site && key.uri.utf8.starts(with: prefix.utf8)
        case .hosts(let hosts): Self.host(of: key.uri).map { hosts.contains($0) } ?? false
        case .site(let site): key.site == site
        case .tag(_, let site): site == nil || site == key.site ? nil : false
        case .tags: nil
        case .everything: true
        }
    }

    private static func matches(_ tag: String, _ pattern: String) -> Bool {
        guard pattern.hasSuffix("*") else { return tag == pattern }
        return tag.utf8.starts(with: pattern.utf8.dropLast())
    }

    /// `host[:port]` of `scheme://host[:port]/…`.
    private static func host(of uri: String) -> Substring? {
        guard let colon = uri.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let rest: Substring = uri[uri.utf8.index(after: colon)...]
        guard rest.utf8.starts(with: "//".utf8) else { return nil }
        let authority = Substring(rest.utf8.dropFirst(2))
        let end: Substring.Index = authority.utf8.firstIndex(of: UInt8(ascii: "/")) ?? authority.endIndex
        return authority[..<end]
    }
}

/// Some hosts, in lower case. However many, what is stored is looked through once.
public struct HostSet: Equatable, Sendable {
    /// `host` or `host:port`, as URIs have it.
    public var authorities: Set<String>
    /// Whatever the port.
    public var names: Set<String>
    /// `*.example.test`: one label before it, whatever the port.
    public var patterns: Set<String>

    public init(authorities: Set<String> = [], names: Set<String> = [], patterns: Set<String> = []) {
        self.authorities = authorities
        self.names = names
        self.patterns = patterns
    }

    func contains(_ authority: Substring) -> Bool {
        if !self.authorities.isEmpty, self.authorities.contains(String(authority)) { return true }
        guard !self.names.isEmpty || !self.patterns.isEmpty else { return false }
        let name = authority.prefix { $0 != ":" }
        if self.names.contains(String(name)) { return true }
        guard !self.patterns.isEmpty, let dot = name.firstIndex(of: "."), dot != name.startIndex else { return false }
        return self.patterns.contains("*" + name[dot...])
    }
}

/// What a purge does to what it is about.
public enum PurgeKind: Equatable, Sendable {
    /// Kept, with its lifetime ended at this time (milliseconds since 1970), whatever it was: a soft purge. It may be
    /// served stale where it could be before.
    case markStale(at: Int64)
    /// Kept, but validated before it is used again: what an unsafe request does (RFC 9111 §4.4).
    case invalidate
    /// Removed: a hard purge.
    case remove
}

/// What purges that keep a response leave on it.
struct PurgeMarks: Equatable, Sendable {
    /// Milliseconds since 1970: the earliest soft purge.
    var staleAt: Int64?
    var isInvalidated = false

    var isEmpty: Bool { self == PurgeMarks() }

    /// - Returns: false if the kind leaves nothing to be marked.
    mutating func add(_ kind: PurgeKind) -> Bool {
        switch kind {
        case .markStale(let time): self.staleAt = min(self.staleAt ?? time, time)
        case .invalidate: self.isInvalidated = true
        case .remove: return false
        }
        return true
    }

    func applied(to response: StoredResponse) -> StoredResponse {
        var marked: StoredResponse = response
        if let staleAt = self.staleAt { marked = marked.softlyPurged(at: staleAt) }
        return self.isInvalidated ? marked.invalidated() : marked
    }
}

/// What a purge met.
public struct PurgeResult: Equatable, Sendable {
    /// Entries removed from memory, or marked there.
    public var memoryEntries = 0
    /// Entries removed from disk, or marked there.
    public var diskEntries = 0
    /// Fills under way whose responses will not be stored, or only as stale.
    public var fills = 0
}
