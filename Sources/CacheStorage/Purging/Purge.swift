public import HTTPCaching

/// What a purge is about.
public enum PurgeScope: Equatable, Sendable {
    /// Everything stored for one URI: all variants.
    case key(CacheKey)
    /// Every URI of the site that begins with the prefix, which is compared as text: `https://www.example.test/a/`.
    case prefix(site: String, uri: String)
    /// Every URI on a host (`www.example.test`, in lower case, with its port where the URI has one), whatever the site.
    case host(String)
    /// Everything of a site, as the configuration names it.
    case site(String)
    /// What bears the tag; of one site, or of all if nil.
    case tag(String, site: String?)
    case everything

    /// Whether a response under this key and with these tags is meant.
    func covers(_ key: CacheKey, tags: [String]) -> Bool {
        switch self {
        case .tag(let tag, let site):
            (site == nil || site == key.site) && tags.contains(tag)
        default:
            self.covers(key) ?? false
        }
    }

    /// The same by the key alone: nil if that depends on the tags.
    func covers(_ key: CacheKey) -> Bool? {
        switch self {
        case .key(let other): key == other
        case .prefix(let site, let prefix): key.site == site && key.uri.hasPrefix(prefix)
        case .host(let host): Self.host(of: key.uri).map { $0 == host } ?? false
        case .site(let site): key.site == site
        case .tag(_, let site): site == nil || site == key.site ? nil : false
        case .everything: true
        }
    }

    /// `host[:port]` of `scheme://host[:port]/…`.
    private static func host(of uri: String) -> Substring? {
        guard let colon = uri.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let rest: Substring = uri[colon...].dropFirst()
        guard rest.hasPrefix("//") else { return nil }
        let authority: Substring = rest.dropFirst(2)
        let end: Substring.Index = authority.utf8.firstIndex(of: UInt8(ascii: "/")) ?? authority.endIndex
        return authority[..<end]
    }
}

/// What a purge does to what it is about.
public enum PurgeKind: Int, Sendable {
    /// Kept, but stale from now on, whatever its lifetime: a soft purge (`Freshness.Flags.purgedSoftly`).
    case markStale = 0
    /// Kept, but validated before it is used again (`Freshness.Flags.invalidated`): what an unsafe request does
    /// (RFC 9111 §4.4).
    case invalidate = 1
    /// Removed: a hard purge.
    case remove = 2

    /// The flags that this leaves on what is kept.
    var flags: Freshness.Flags {
        switch self {
        case .markStale: .purgedSoftly
        case .invalidate: .invalidated
        case .remove: []
        }
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
