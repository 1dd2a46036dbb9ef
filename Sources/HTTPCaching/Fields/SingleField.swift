import HTTPFields

/// A field that may appear once only: two lines make it invalid.
struct SingleField {
    /// Where the value stands, if there is exactly one.
    private(set) var value: Range<Int>?
    private(set) var count = 0

    mutating func add(_ field: FieldRecord) {
        self.count += 1
        self.value = self.count == 1 ? field.value : nil
    }
}

extension FieldSection {
    /// The field of this name, if there is exactly one.
    func only(_ name: KnownField) -> FieldRecord? {
        self.repeats(name) ? nil : self.first(name)
    }
}
