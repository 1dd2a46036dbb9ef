public import HTTPFields

/// Fields that a site wants added to responses or taken away from them. Applied as a response goes out, never to what is
/// stored, so that a change of the configuration shows at once.
public struct FieldEdits: Hashable, Sendable {
    public struct Field: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Names to remove. They come first, so that a field can be replaced.
    public var remove: [FieldName]
    /// What is no field (RFC 9110 §5.1, §5.5) is not added; the reader of the settings refuses it.
    public var add: [Field]

    public init(remove: [FieldName] = [], add: [Field] = []) {
        self.remove = remove
        self.add = add
    }

    public var isEmpty: Bool { self.remove.isEmpty && self.add.isEmpty }

    /// Whether they take a field of this name away.
    public func removes(_ name: KnownField) -> Bool { self.remove.contains(FieldName(name)) }

    /// The head with the edits made.
    public func applied(to head: EncodedHead) -> EncodedHead {
        if self.isEmpty { return head }
        var edited = head.filtered { field, names in !self.remove.contains { names.matches($0, field) } }
        for field in self.add { try? edited.add(name: field.name.utf8, value: field.value.utf8) }
        return edited
    }
}
