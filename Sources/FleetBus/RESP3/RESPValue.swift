/// One reply of a Redis or Valkey server, in RESP3 (`HELLO 3`).
///
/// Sets are arrays, verbatim strings their text without the format's name, big numbers their digits.
public enum RESPValue: Equatable, Sendable {
    /// Simple, bulk and verbatim strings, and big numbers.
    case text([UInt8])
    /// What the server refuses, as in `OOM command not allowed …`: at most 4 KiB.
    case error(String)
    case integer(Int64)
    case double(Double)
    case boolean(Bool)
    case null
    case array([RESPValue])
    case map([Pair])
    /// What the server says without being asked.
    case push([RESPValue])
    /// More than ``RESPLimits`` take of a text or an aggregate: read past, and not kept.
    case dropped

    public struct Pair: Equatable, Sendable {
        public var key: RESPValue
        public var value: RESPValue

        public init(_ key: RESPValue, _ value: RESPValue) {
            self.key = key
            self.value = value
        }
    }

    public static func string(_ text: String) -> RESPValue { .text(Array(text.utf8)) }

    /// A text's bytes.
    public var bytes: [UInt8]? {
        guard case .text(let bytes) = self else { return nil }
        return bytes
    }

    /// A text that is UTF-8.
    public var string: String? { self.bytes.flatMap { String(validating: $0, as: UTF8.self) } }

    /// An integer, or a text of digits.
    public var number: Int64? {
        switch self {
        case .integer(let value): value
        case .text: self.string.flatMap { Int64($0) }
        default: nil
        }
    }

    public var elements: [RESPValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// A map's pairs, or those of an array of even length, which is what RESP2 makes of a map.
    public var pairs: [Pair]? {
        switch self {
        case .map(let pairs): return pairs
        case .array(let elements) where elements.count.isMultiple(of: 2):
            return stride(from: 0, to: elements.count, by: 2).map { Pair(elements[$0], elements[$0 + 1]) }
        default: return nil
        }
    }

    /// The value of a map's key.
    public subscript(key: String) -> RESPValue? {
        self.pairs?.first { $0.key.string == key }?.value
    }
}

/// What a server said that is no RESP3, or more than is taken. The connection can't go on after it.
public enum RESPError: Error, Equatable, Sendable, CustomStringConvertible {
    case syntax(String)
    case tooDeep
    case tooLong(String)

    public var description: String {
        switch self {
        case .syntax(let what): "the server sent \(what)"
        case .tooDeep: "the server sent a reply that is nested too deeply"
        case .tooLong(let what): "the server sent \(what), which is more than is taken"
        }
    }
}

/// Bounds on one reply. What is deeper, or has a longer line, ends the connection; of the rest what is more is read past, so
/// that one entry that is too large does not keep its reader from those behind it.
public struct RESPLimits: Equatable, Sendable {
    /// Aggregates in one another.
    public var depth = 8
    /// Bytes of one text: that of the largest order.
    public var text = FleetPurge.maximumBytes
    /// Values of one reply that are kept, aggregates included.
    public var values = 1 << 18
    /// Bytes of one reply that are kept.
    public var bytes = 32 << 20
    /// Bytes of a line: a length, a number, a simple string or an error.
    public var line = 4096

    public init() {}
}
