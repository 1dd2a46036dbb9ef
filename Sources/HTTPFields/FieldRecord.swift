/// Where one field stands in its section's bytes.
public struct FieldRecord: Equatable, Sendable {
    @usableFromInline let nameStart: UInt32
    @usableFromInline let nameEnd: UInt32
    @usableFromInline let valueStart: UInt32
    @usableFromInline let valueEnd: UInt32
    /// `nil` for a name without a number.
    public let known: KnownField?

    package init(name: Range<Int>, value: Range<Int>, known: KnownField?) {
        self.nameStart = UInt32(truncatingIfNeeded: name.lowerBound)
        self.nameEnd = UInt32(truncatingIfNeeded: name.upperBound)
        self.valueStart = UInt32(truncatingIfNeeded: value.lowerBound)
        self.valueEnd = UInt32(truncatingIfNeeded: value.upperBound)
        self.known = known
    }

    /// One or more token characters.
    @inlinable public var name: Range<Int> { Int(self.nameStart)..<Int(self.nameEnd) }
    /// The value without whitespace at either end; it may be empty. Bytes above 0x7F are passed as they are.
    @inlinable public var value: Range<Int> { Int(self.valueStart)..<Int(self.valueEnd) }
}

/// The records of one section, and which known names are among them.
package struct FieldTable: Sendable {
    package init() {}

    package private(set) var records: [FieldRecord] = []
    package private(set) var known = KnownFieldSet()
    package private(set) var repeated = KnownFieldSet()

    package mutating func append(_ record: FieldRecord) {
        self.records.append(record)
        if let field = record.known, !self.known.insert(field) { self.repeated.insert(field) }
    }

    /// Empties the table. Its storage stays, unless a head that was given out still holds it.
    package mutating func reset() {
        if self.records.capacity == 0 {
            self.records.reserveCapacity(24)
        } else {
            self.records.removeAll(keepingCapacity: true)
        }
        self.known = KnownFieldSet()
        self.repeated = KnownFieldSet()
    }
}
