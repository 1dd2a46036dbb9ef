/// Where one field stands in its section's bytes.
public struct FieldRecord: Equatable, Sendable {
    let nameStart: UInt32
    let nameEnd: UInt32
    let valueStart: UInt32
    let valueEnd: UInt32
    /// `nil` for a name without a number.
    public let known: KnownField?

    /// One or more token characters.
    public var name: Range<Int> { Int(self.nameStart)..<Int(self.nameEnd) }
    /// The value without whitespace at either end; it may be empty. Bytes above 0x7F are passed as they are.
    public var value: Range<Int> { Int(self.valueStart)..<Int(self.valueEnd) }
}

/// The records of one section, and which known names are among them.
struct FieldTable: Sendable {
    private(set) var records: [FieldRecord] = []
    private(set) var known = KnownFieldSet()
    private(set) var repeated = KnownFieldSet()

    @inline(__always)
    mutating func append(_ record: FieldRecord) {
        self.records.append(record)
        if let field = record.known, !self.known.insert(field) { self.repeated.insert(field) }
    }

    /// Empties the table. Its storage stays, unless a head that was given out still holds it.
    mutating func reset() {
        if self.records.capacity == 0 {
            self.records.reserveCapacity(24)
        } else {
            self.records.removeAll(keepingCapacity: true)
        }
        self.known = KnownFieldSet()
        self.repeated = KnownFieldSet()
    }
}
