import NIOCore

/// The name of a field, known or not, to ask for and to compare by. Letter case does not count.
public struct FieldName: Hashable, Sendable {
    /// `nil` for a name without a number.
    public let known: KnownField?
    /// In lower case; empty for a name with a number.
    private let other: [UInt8]

    public init(_ known: KnownField) {
        self.known = known
        self.other = []
    }

    /// `nil` if that is no token.
    public init?(_ bytes: some Collection<UInt8>) {
        guard ByteClass.isToken(bytes) else { return nil }
        self.known = KnownField(bytes)
        self.other = self.known == nil ? bytes.map(ByteClass.lowercased) : []
    }

    /// `nil` if that is no token.
    public init?(_ text: String) { self.init(text.utf8) }

    /// - Parameter range: one or more token characters.
    package init(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        self.known = KnownField(bytes, range)
        var other: [UInt8] = []
        if self.known == nil {
            other.reserveCapacity(range.count)
            for position in range { other.append(ByteClass.lowercased(bytes[position])) }
        }
        self.other = other
    }

    /// In lower case.
    public var bytes: [UInt8] { self.known.map { $0.name.map(ByteClass.lowercased) } ?? self.other }

    /// In lower case.
    public var text: String { String(decoding: self.bytes, as: UTF8.self) }

    /// Bytes of memory beside the value's own.
    package var heapBytes: Int { self.other.isEmpty ? 0 : 32 + self.other.count }

    /// Whether a field of a section has this name.
    @inline(__always)
    func matches(_ field: FieldRecord, _ bytes: borrowing Span<UInt8>) -> Bool {
        if self.known != nil || field.known != nil { return self.known == field.known }
        let range = field.name
        guard range.count == self.other.count else { return false }
        for offset in 0..<range.count
        where ByteClass.lowercased(bytes[range.lowerBound &+ offset]) != self.other[offset] { return false }
        return true
    }
}

extension FieldName: Comparable {
    /// The order of the names in lower case.
    public static func < (one: FieldName, other: FieldName) -> Bool {
        one != other && one.bytes.lexicographicallyPrecedes(other.bytes)
    }
}

extension FieldSection {
    /// Whether a field has this name.
    public func isNamed(_ field: FieldRecord, _ name: FieldName) -> Bool {
        name.matches(field, self.bytes.readableBytesUInt8Span)
    }

    /// Whether there is a field of this name.
    public func contains(_ name: FieldName) -> Bool {
        if let known = name.known { return self.contains(known) }
        return self.first(name) != nil
    }

    /// The first field of this name.
    public func first(_ name: FieldName) -> FieldRecord? {
        if let known = name.known { return self.first(known) }
        let bytes = self.bytes.readableBytesUInt8Span
        for field in self where field.known == nil && name.matches(field, bytes) { return field }
        return nil
    }
}
