public import HTTPFields
import HTTPWire
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
            withUnsafeTemporaryAllocation(byteCount: count + Self.mostDigits, alignment: 1) { memory in
                prepare(memory)
                let end = Self.put(number, at: count, of: memory)
                body(UnsafeRawBufferPointer(rebasing: memory[..<end]))
            }
        }

        /// A sign and digits.
        private static var mostDigits: Int { HeadWriter.mostDigits + 1 }

        private static func put(_ number: Int64, at start: Int, of memory: UnsafeMutableRawBufferPointer) -> Int {
            var place = start
            if number < 0 {
                memory[place] = UInt8(ascii: "-")
                place += 1
            }
            return HeadWriter.putDecimal(number.magnitude, at: place, of: memory)
        }

        /// How many bytes ``put(in:)`` takes at most.
        var most: Int {
            switch self {
            case .number: Self.mostDigits
            case .text(let text): text.utf8.count
            case .numbered(let text, _): text.utf8.count + Self.mostDigits
            case .constant(let text): text.utf8CodeUnitCount
            case .bytes(let bytes): bytes.readableBytes
            }
        }

        /// The same bytes as ``withBytes(_:)`` gives, at the beginning of so much memory.
        ///
        /// - Returns: how many there are.
        func put(in memory: UnsafeMutableRawBufferPointer) -> Int {
            let count =
                switch self {
                case .number(let number): Self.put(number, at: 0, of: memory)
                case .text(let text): Self.put(text, of: memory)
                case .numbered(let text, let number): Self.put(number, at: Self.put(text, of: memory), of: memory)
                case .constant(let text): text.withUTF8Buffer { Self.put(UnsafeRawBufferPointer($0), of: memory) }
                case .bytes(let bytes): bytes.withUnsafeReadableBytes { Self.put($0, of: memory) }
                }
            let written = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
            let isClean = written.withMemoryRebound(to: UInt8.self) {
                ByteClass.firstControl(UnsafeBufferPointer($0).span, from: 0) == count
            }
            if !isClean {
                for place in written.indices where written[place] < 0x20 || written[place] == ByteClass.delete {
                    written[place] = ByteClass.space
                }
            }
            return count
        }

        private static func put(_ text: String, of memory: UnsafeMutableRawBufferPointer) -> Int {
            text.utf8.span.withUnsafeBytes { Self.put($0, of: memory) }
        }

        private static func put(_ bytes: UnsafeRawBufferPointer, of memory: UnsafeMutableRawBufferPointer) -> Int {
            memory.copyMemory(from: bytes)
            return bytes.count
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
