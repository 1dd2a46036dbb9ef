public import HTTPFields
public import NIOCore

/// A few fields that stand behind those of a section. The first two take no memory of their own: more are rare.
public struct AddedFields: Sendable {
    public enum Value: Sendable {
        case number(Int64)
        case text(String)
        case constant(StaticString)
        case bytes(ByteBuffer)
        /// A text and a number right behind it.
        case numbered(String, Int64)

        /// A control character in it has become a space: no value begins a line of its own.
        public func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
            switch self {
            case .number(let number): Self.withDigits(of: number, behind: 0, { _ in }, body)
            case .text(var text): text.withUTF8 { Self.withoutControls(UnsafeRawBufferPointer($0), body) }
            case .numbered(var text, let number):
                text.withUTF8 { text in
                    Self.withDigits(of: number, behind: text.count) {
                        $0.copyMemory(from: UnsafeRawBufferPointer(text))
                    } _: {
                        Self.withoutControls($0, body)
                    }
                }
            case .constant(let text): body(UnsafeRawBufferPointer(text.bytes))
            case .bytes(let bytes):
                bytes.withUnsafeReadableBytes { Self.withoutControls($0, body) }
            }
        }

        private static func withoutControls(
            _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void
        ) {
            let isClean = bytes.withMemoryRebound(to: UInt8.self) {
                ByteClass.firstControl($0.span, from: 0) == $0.count
            }
            if isClean { return body(bytes) }
            bytes.map { $0 < 0x20 || $0 == ByteClass.delete ? ByteClass.space : $0 }.withUnsafeBytes(body)
        }

        /// The number in decimal digits, behind so many bytes that `prepare` fills in.
        private static func withDigits(
            of number: Int64, behind count: Int, _ prepare: (UnsafeMutableRawBufferPointer) -> Void,
            _ body: (UnsafeRawBufferPointer) -> Void
        ) {
            withUnsafeTemporaryAllocation(byteCount: count + 20, alignment: 1) { memory in
                prepare(memory)
                var end = count
                if number < 0 {
                    memory[end] = UInt8(ascii: "-")
                    end += 1
                }
                let start = end
                var rest = number.magnitude
                repeat {
                    memory[end] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                    end += 1
                } while rest > 0
                memory[start..<end].reverse()
                body(UnsafeRawBufferPointer(rebasing: memory[..<end]))
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
