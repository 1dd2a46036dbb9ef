public import Crypto
import Hexadecimal

/// The public half of a key that signs purges: 32 bytes (Ed25519).
public struct SignerKey: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// nil unless there are 32.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    public init(_ key: Curve25519.Signing.PrivateKey) {
        self.bytes = Array(key.publicKey.rawRepresentation)
    }

    /// As configurations write it: 64 hexadecimal digits.
    public init?(hex: String) {
        guard let bytes = Hex.bytes(hex.utf8) else { return nil }
        self.init(bytes)
    }

    public var description: String { Hex.text(self.bytes) }
}

/// Who may order purges, and which. What an edge's configuration lists.
public struct Signer: Equatable, Sendable {
    /// For messages.
    public var name: String
    public var key: SignerKey
    public var rights: PurgeRights

    public init(name: String, key: SignerKey, rights: PurgeRights) {
        self.name = name
        self.key = key
        self.rights = rights
    }
}

/// What a signer may purge.
public enum PurgeRights: Equatable, Sendable {
    case everything
    /// URLs, prefixes and hosts under these names; tags that match one of these patterns; nothing else.
    case some(hosts: [String], tags: [String])

    /// Whether all targets are allowed.
    public func allow(_ purge: FleetPurge) -> Bool {
        purge.targets.allSatisfy(self.allow)
    }

    private func allow(_ target: FleetPurge.Target) -> Bool {
        guard case .some(let hosts, let tags) = self else { return true }
        switch target {
        case .everything: return false
        case .tag(let tag): return tags.contains { Self.matches(tag, $0) }
        // `https://www.example` begins the URLs of `www.example.test` as well as those of `www.example.net`: so a prefix must
        // have the slash that ends the host.
        case .prefix(let text):
            guard text.utf8.dropFirst("https://".utf8.count).contains(UInt8(ascii: "/")) else { return false }
            return self.allow(target.hostName, hosts)
        case .url, .host: return self.allow(target.hostName, hosts)
        }
    }

    private func allow(_ name: String?, _ hosts: [String]) -> Bool {
        guard let name else { return false }
        return hosts.contains { pattern in
            guard pattern.hasPrefix("*.") else { return pattern == name }
            // One label, as in certificates.
            guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return false }
            return name[dot...] == pattern.dropFirst()
        }
    }

    /// `*` at a pattern's end stands for anything.
    private static func matches(_ text: String, _ pattern: String) -> Bool {
        guard pattern.hasSuffix("*") else { return text == pattern }
        return text.utf8.starts(with: pattern.utf8.dropLast())
    }
}
