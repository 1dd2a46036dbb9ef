public import HTTPFields
public import NIOCore

/// A few fields that stand behind those of a section. The first two take no memory of their own: more are rare.
public struct AddedFields: Sendable {
    public enum Value: Sendable {
        case number(Int64)
        case text(String)
        case constant(StaticString)
        case bytes(ByteBuffer)

        /// A control character in it has become a space: no value begins a line of its own.
        func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
            switch self {
            case .number(let number):
                var text = String(number)
                return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
            case .text(var text):
                if !ByteClass.hasNoControl(text.utf8) {
                    text = String(
                        decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7F ? ByteClass.space : $0 }, as: UTF8.self)
                }
                return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
            case .constant(let text): return body(UnsafeRawBufferPointer(text.bytes))
            case .bytes(let bytes):
                guard ByteClass.hasNoControl(bytes.readableBytesView) else {
                    return Value.text(String(buffer: bytes)).withBytes(body)
                }
                return bytes.withUnsafeReadableBytes(body)
            }
        }
    }

    private var first: (name: KnownField, value: Value)?
    private var second: (name: KnownField, value: Value)?
    private var others: [(name: KnownField, value: Value)] = []

    public init() {}

    public var isEmpty: Bool { self.first == nil }

    /// Behind those that are there. No framing fields.
    public mutating func add(_ name: KnownField, _ value: Value) {
        if self.first == nil {
            self.first = (name, value)
        } else if self.second == nil {
            self.second = (name, value)
        } else {
            self.others.append((name, value))
        }
    }

    public mutating func remove(_ name: KnownField) {
        var kept = AddedFields()
        self.forEach { other, value in if other != name { kept.add(other, value) } }
        self = kept
    }

    public func forEach(_ body: (KnownField, Value) -> Void) {
        guard let first else { return }
        body(first.name, first.value)
        guard let second else { return }
        body(second.name, second.value)
        for field in self.others { body(field.name, field.value) }
    }
}
