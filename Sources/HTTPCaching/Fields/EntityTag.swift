/// An entity tag (RFC 9110 §8.8.3).
public struct EntityTag: Hashable, Sendable {
    public var isWeak: Bool
    /// Without the quotes.
    public var opaque: String

    public init(isWeak: Bool = false, opaque: String) {
        self.isWeak = isWeak
        self.opaque = opaque
    }

    /// As in a field: `"x"` or `W/"x"`. Nothing else is one.
    public init?(_ text: some StringProtocol) {
        var rest = Substring(text).utf8
        self.isWeak = rest.starts(with: "W/".utf8)
        if self.isWeak { rest = rest.dropFirst(2) }
        guard rest.count >= 2, rest.first == UInt8(ascii: "\""), rest.last == UInt8(ascii: "\"") else { return nil }
        let opaque = rest.dropFirst().dropLast()
        guard opaque.allSatisfy({ $0 == 0x21 || ($0 >= 0x23 && $0 != 0x7F) }) else { return nil }
        self.opaque = String(decoding: opaque, as: UTF8.self)
    }

    /// Byte by byte (RFC 9110 §8.8.3.2).
    public static func == (one: EntityTag, other: EntityTag) -> Bool {
        one.isWeak == other.isWeak && TextBytes.same(one.opaque, other.opaque)
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.isWeak)
        TextBytes.hash(self.opaque, into: &hasher)
    }

    /// Both strong and the same: the bodies are equal byte by byte.
    public func matchesStrongly(_ other: EntityTag) -> Bool {
        !self.isWeak && !other.isWeak && TextBytes.same(self.opaque, other.opaque)
    }

    /// The same, weak or not: one will do for the other.
    public func matchesWeakly(_ other: EntityTag) -> Bool {
        TextBytes.same(self.opaque, other.opaque)
    }
}

/// `If-None-Match` (RFC 9110 §13.1.2).
enum EntityTagCondition: Equatable {
    case any
    case list([EntityTag])

    /// The lines of the field. Members that are no entity tags match nothing.
    init(lines: [String]) {
        var tags: [EntityTag] = []
        for line in lines {
            if FieldText.trimmed(Substring(line)) == "*" {
                self = .any
                return
            }
            FieldText.forEachElement(line) { member in
                if let tag = EntityTag(member) { tags.append(tag) }
            }
        }
        self = .list(tags)
    }

    /// Weak comparison.
    func matches(_ tag: EntityTag?) -> Bool {
        switch self {
        case .any: true
        case .list(let tags): tag.map { tag in tags.contains { $0.matchesWeakly(tag) } } ?? false
        }
    }
}
