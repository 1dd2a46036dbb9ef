/// What edges are asked to remove, or to mark as stale.
public struct FleetPurge: Equatable, Sendable {
    public enum Target: Hashable, Sendable {
        /// `https://host[:port]/path?query`, as clients write it.
        case url(String)
        /// Everything whose URL begins so.
        case prefix(String)
        /// `host[:port]`.
        case host(String)
        case tag(String)
        case everything
    }

    /// At least one.
    public var targets: [Target]
    /// Marked as stale instead of removed.
    public var isSoft: Bool

    public init(targets: [Target], isSoft: Bool) {
        self.targets = targets
        self.isSoft = isSoft
    }

    /// Bounds on one entry. A larger order makes several entries.
    public static let maximumTargets = 1000
    public static let maximumBytes = 256 * 1024
    /// Bytes of a URL or prefix; hosts and tags are shorter.
    public static let maximumTargetBytes = 16 * 1024

    /// As several purges of which each fits an entry, in the same order.
    ///
    /// - Returns: nil if one target is too long for any entry, or none is named.
    public func split() -> [FleetPurge]? {
        var parts: [FleetPurge] = []
        var part = FleetPurge(targets: [], isSoft: self.isSoft)
        var bytes = 0
        for target in self.targets {
            let size = target.text.utf8.count + 3
            guard size - 3 <= Self.maximumTargetBytes else { return nil }
            // Half of an entry is more than names, keys and signature take.
            if part.targets.count == Self.maximumTargets || bytes + size > Self.maximumBytes / 2 {
                parts.append(part)
                part.targets = []
                bytes = 0
            }
            part.targets.append(target)
            bytes += size
        }
        if !part.targets.isEmpty { parts.append(part) }
        return parts.isEmpty ? nil : parts
    }
}

extension FleetPurge.Target {
    /// On the wire.
    var kind: UInt8 {
        switch self {
        case .url: 1
        case .prefix: 2
        case .host: 3
        case .tag: 4
        case .everything: 5
        }
    }

    /// What is named; empty for everything.
    public var text: String {
        switch self {
        case .url(let text), .prefix(let text), .host(let text), .tag(let text): text
        case .everything: ""
        }
    }

    init?(kind: UInt8, text: String) {
        switch kind {
        case 1 where !text.isEmpty: self = .url(text)
        case 2 where !text.isEmpty: self = .prefix(text)
        case 3 where !text.isEmpty: self = .host(text)
        case 4 where !text.isEmpty: self = .tag(text)
        case 5 where text.isEmpty: self = .everything
        default: return nil
        }
    }

    /// The host that a URL, a prefix or a host names, in lower case and without its port; nil where there is none.
    ///
    /// What this takes for the host must be what a cache takes for it: so only plain `https://host[:port]` followed by a path,
    /// a query or nothing has one. User names, backslashes, spaces and control characters have none.
    public var hostName: String? {
        let authority: Substring.UTF8View
        switch self {
        case .host(let text): authority = Substring(text).utf8
        case .url(let text), .prefix(let text):
            let scheme = Array("https://".utf8)
            let bytes = Array(text.utf8)
            guard bytes.count > scheme.count, zip(bytes, scheme).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) else {
                return nil
            }
            let rest = text.utf8.dropFirst(scheme.count)
            authority = rest.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        case .tag, .everything: return nil
        }
        let name = authority.prefix { $0 != UInt8(ascii: ":") }
        let port = authority.dropFirst(name.count).dropFirst()
        guard !name.isEmpty, port.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        let legal = name.allSatisfy {
            switch $0 {
            case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            default: false
            }
        }
        return legal ? String(decoding: name, as: UTF8.self).lowercased() : nil
    }
}
