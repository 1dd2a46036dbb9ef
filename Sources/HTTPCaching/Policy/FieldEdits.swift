public import NIOHTTP1

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
    public var remove: [String]
    public var add: [Field]

    public init(remove: [String] = [], add: [Field] = []) {
        self.remove = remove
        self.add = add
    }

    public var isEmpty: Bool { self.remove.isEmpty && self.add.isEmpty }

    public func apply(to fields: inout HTTPHeaders) {
        for name in self.remove { fields.remove(name: name) }
        for field in self.add { fields.add(name: field.name, value: field.value) }
    }
}
