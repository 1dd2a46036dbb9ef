/// A server name, or a wildcard that stands for exactly one label: `www.example.com` or `*.example.com`.
public struct ServerNamePattern: Hashable, Sendable, CustomStringConvertible {
    /// True for `*.example.com`.
    public let isWildcard: Bool
    /// The name itself, or what follows `*.`.
    public let base: ServerName

    public var description: String { isWildcard ? "*." + base.rawValue : base.rawValue }

    public init(_ text: String) throws(ServerNameError) {
        let isWildcard: Bool = text.utf8.starts(with: "*.".utf8)
        let rest: String = isWildcard ? String(text.dropFirst(2)) : text
        if rest.utf8.contains(UInt8(ascii: "*")) { throw .misplacedWildcard }
        base = try ServerName(rest)
        self.isWildcard = isWildcard
    }

    /// A pattern that matches this one name.
    public init(_ name: ServerName) {
        base = name
        isWildcard = false
    }

    /// Wildcards stand for one label: `*.example.com` matches `www.example.com`, but neither `example.com` nor
    /// `a.b.example.com` (RFC 9525 §6.3).
    public func matches(_ name: ServerName) -> Bool {
        isWildcard ? name.parent == base.rawValue : name == base
    }
}

/// Values by server name. An exact entry beats a wildcard. Both look-ups take constant time.
public struct ServerNameTable<Value> {
    @usableFromInline var exact: [String: Value] = [:]
    @usableFromInline var wildcards: [String: Value] = [:]

    public init() {}

    public var isEmpty: Bool { exact.isEmpty && wildcards.isEmpty }
    public var count: Int { exact.count + wildcards.count }

    /// Adds an entry. Returns false, and changes nothing, if the same pattern is there already.
    public mutating func insert(_ value: Value, for pattern: ServerNamePattern) -> Bool {
        let key: String = pattern.base.rawValue
        if pattern.isWildcard {
            guard wildcards[key] == nil else { return false }
            wildcards[key] = value
        } else {
            guard exact[key] == nil else { return false }
            exact[key] = value
        }
        return true
    }

    @inlinable public func value(for name: ServerName) -> Value? {
        if let value: Value = exact[name.rawValue] { return value }
        guard !wildcards.isEmpty, let parent: String = name.parent else { return nil }
        return wildcards[parent]
    }
}

extension ServerNameTable: Sendable where Value: Sendable {}
