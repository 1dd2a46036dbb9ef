/// The place of an entry in a stream: `1764400000000-0`, milliseconds of the server's clock and a number.
public struct StreamID: Comparable, Hashable, Sendable, CustomStringConvertible {
    public var milliseconds: UInt64
    public var sequence: UInt64

    public init(_ milliseconds: UInt64, _ sequence: UInt64 = 0) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    public static let zero = StreamID(0, 0)

    /// nil unless it is two decimal numbers with a hyphen between them.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let milliseconds = Self.number(parts[0]), let sequence = Self.number(parts[1]) else {
            return nil
        }
        self.init(milliseconds, sequence)
    }

    private static func number(_ text: some StringProtocol) -> UInt64? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(text)
    }

    public static func < (left: StreamID, right: StreamID) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }

    public var description: String { "\(self.milliseconds)-\(self.sequence)" }
}

/// One entry of a stream, as `XREAD` and `XRANGE` give it.
public struct StreamEntry: Equatable, Sendable {
    public var id: StreamID
    /// The value of the field that is ours; nil: it has no such field, or others besides.
    public var payload: [UInt8]?

    /// The one field of every entry that latchstring writes.
    public static let field = "e"

    public init(id: StreamID, payload: [UInt8]?) {
        self.id = id
        self.payload = payload
    }

    /// Reads `[[id, [field, value, …]], …]`; nil if it is not that.
    public static func list(_ value: RESPValue) -> [StreamEntry]? {
        guard let items = value.elements else { return nil }
        var entries: [StreamEntry] = []
        for item in items {
            guard let parts = item.elements, parts.count == 2, let id = parts[0].string.flatMap({ StreamID($0) }) else {
                return nil
            }
            let fields = parts[1].pairs
            let payload = fields?.count == 1 && fields?[0].key.string == Self.field ? fields?[0].value.bytes : nil
            entries.append(StreamEntry(id: id, payload: payload))
        }
        // Ids only grow. A server that says otherwise is not read any further.
        guard zip(entries, entries.dropFirst()).allSatisfy({ $0.id < $1.id }) else { return nil }
        return entries
    }

    /// Reads what `XREAD` says of one stream; empty for null.
    public static func read(_ value: RESPValue) -> [StreamEntry]? {
        if value == .null { return [] }
        // RESP3 makes a map of it, RESP2 an array of pairs.
        if case .map(let pairs) = value { return pairs.count == 1 ? Self.list(pairs[0].value) : nil }
        guard let first = value.elements, first.count == 1, let pair = first[0].elements, pair.count == 2 else {
            return nil
        }
        return Self.list(pair[1])
    }
}
