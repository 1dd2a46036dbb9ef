import NIOCore

/// Why a field is not taken into a section.
public enum FieldFault: String, Error, CaseIterable, Sendable {
    /// No token.
    case badName = "bad-field-name"
    /// Controls other than HTAB, or whitespace at either end.
    case badValue = "bad-field-value"
}

/// Puts a section together, line by line as HTTP/1.1 writes it: fields of other sections, and new ones.
///
/// What comes from a section has been judged; everything else is checked, so that no value can begin a line of its own.
public struct FieldSectionBuilder: Sendable {
    private var bytes: ByteBuffer
    private var table = FieldTable()
    private var isLines = true

    /// - Parameter capacity: bytes that the lines will take, if that is known.
    public init(capacity: Int = 0) {
        self.bytes = capacity > 0 ? ByteBufferAllocator().buffer(capacity: capacity) : ByteBuffer()
        // Most that begin without a capacity end without a field.
        if capacity > 0 { self.table.reset() }
    }

    public var count: Int { self.table.records.count }

    /// A field of another section, byte for byte.
    public mutating func add(_ field: FieldRecord, of section: FieldSection) {
        let start = self.bytes.writerIndex
        let name = field.name
        let value = field.value
        section.bytes.withUnsafeReadableBytes { source in
            _ = self.bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: name.count + value.count + 4) { target in
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[name]))
                target[name.count] = UInt8(ascii: ":")
                target[name.count + 1] = ByteClass.space
                UnsafeMutableRawBufferPointer(rebasing: target[(name.count + 2)...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[value]))
                target[name.count + 2 + value.count] = ByteClass.carriageReturn
                target[name.count + 3 + value.count] = ByteClass.lineFeed
                return name.count + value.count + 4
            }
        }
        self.append(from: start, name: name.count, value: value.count, known: field.known)
    }

    /// A field whose name has a number, in its usual spelling.
    public mutating func add(
        _ name: KnownField, _ value: some BidirectionalCollection<UInt8>
    ) throws(FieldFault) {
        guard ByteClass.isValue(value) else { throw .badValue }
        let start = self.bytes.writerIndex
        let written = self.bytes.writeBytes(UnsafeRawBufferPointer(name.name))
        self.write(value)
        self.append(from: start, name: written, value: value.count, known: name)
    }

    /// The same for bytes in memory.
    public mutating func add(_ name: KnownField, _ value: UnsafeRawBufferPointer) throws(FieldFault) {
        guard ByteClass.isValue(value) else { throw .badValue }
        let start = self.bytes.writerIndex
        let written = self.bytes.writeBytes(UnsafeRawBufferPointer(name.name))
        self.bytes.writeStaticString(": ")
        self.bytes.writeBytes(value)
        self.bytes.writeStaticString("\r\n")
        self.append(from: start, name: written, value: value.count, known: name)
    }

    /// Any field.
    public mutating func add(
        name: some Collection<UInt8>, value: some BidirectionalCollection<UInt8>
    ) throws(FieldFault) {
        guard ByteClass.isToken(name) else { throw .badName }
        guard ByteClass.isValue(value) else { throw .badValue }
        let start = self.bytes.writerIndex
        let written = self.bytes.writeBytes(name)
        self.write(value)
        self.append(from: start, name: written, value: value.count, known: KnownField(name))
    }

    /// Bytes that are no field, for what belongs to the same message: a target, a method. Nothing is checked.
    ///
    /// - Returns: where they stand in the section's bytes.
    package mutating func addBytes(_ bytes: some Collection<UInt8>) -> Range<Int> {
        self.isLines = false
        let start = self.bytes.writerIndex
        self.bytes.writeBytes(bytes)
        return start..<self.bytes.writerIndex
    }

    private mutating func write(_ value: some Collection<UInt8>) {
        self.bytes.writeStaticString(": ")
        self.bytes.writeBytes(value)
        self.bytes.writeStaticString("\r\n")
    }

    private mutating func append(from start: Int, name: Int, value: Int, known: KnownField?) {
        let valueStart = start + name + 2
        self.table.append(
            FieldRecord(name: start..<(start + name), value: valueStart..<(valueStart + value), known: known))
    }

    /// What was put together so far.
    public var section: FieldSection { FieldSection(bytes: self.bytes, table: self.table, isLines: self.isLines) }
}
