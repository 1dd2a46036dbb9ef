import NIOCore

extension FieldSection {
    /// No fields.
    public init() { self.init(bytes: ByteBuffer(), table: FieldTable(), isLines: true) }

    /// A section of texts, as configuration, administration and tests have them.
    public init(_ fields: [(name: String, value: String)]) throws(FieldFault) {
        var builder = FieldSectionBuilder()
        for (name, value) in fields { try builder.add(name: name.utf8, value: value.utf8) }
        self = builder.section
    }

    /// The bytes of a range as text, for messages: what is not UTF-8 becomes U+FFFD. Never to compare by, and never to pass on.
    public func text(_ range: Range<Int>) -> String {
        self.withBytes(range) { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of a range, copied.
    public func copy(_ range: Range<Int>) -> [UInt8] {
        self.withBytes(range) { [UInt8]($0) }
    }
}
