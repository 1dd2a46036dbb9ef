public import HTTPFields
public import NIOCore

/// Why something is not written into a head. Fields that a ``FieldSection`` holds are never refused: they have been judged.
public enum WriteFault: String, Error, CaseIterable, Sendable {
    case badMethod = "bad-method"
    case badTarget = "bad-target"
    case badStatus = "bad-status"
    case badReason = "bad-reason"
    case badFieldName = "bad-field-name"
    case badFieldValue = "bad-field-value"
    /// `Content-Length` and `Transfer-Encoding` are written by ``HeadWriter/finish(_:to:)`` alone.
    case framingField = "framing-field"
}

/// Writes one head, or a chunked body's last chunk with its trailers, at the end of a buffer (RFC 9112 §3, §4, §5, §7.1).
///
/// A first line, fields, `finish`: the order cannot be missed, and a head says exactly once, or not at all, how its content ends.
/// Everything that does not come from a parsed section is checked, so that no value can begin a line of its own. A head whose
/// writing failed is taken back by ``cancel(in:)``.
public struct HeadWriter: ~Copyable {
    private let start: Int

    /// A request line that is a parsed one's, as `HTTP/1.1`.
    ///
    /// - Parameter target: what takes the place of the head's own target.
    public init(_ head: RequestHead, target: ByteBuffer? = nil, to buffer: inout ByteBuffer) throws(WriteFault) {
        if let target, !Self.isTarget(target.readableBytesView) { throw .badTarget }
        self.start = buffer.writerIndex
        Self.write(head.methodRange, of: head.fields, to: &buffer)
        buffer.writeInteger(ByteClass.space)
        if let target {
            buffer.writeImmutableBuffer(target)
        } else {
            Self.write(head.targetRange, of: head.fields, to: &buffer)
        }
        buffer.writeStaticString(" HTTP/1.1\r\n")
    }

    /// A request line, as `HTTP/1.1`.
    public init(
        method: some Collection<UInt8>, target: some Collection<UInt8>, to buffer: inout ByteBuffer
    ) throws(WriteFault) {
        guard ByteClass.isToken(method) else { throw .badMethod }
        guard Self.isTarget(target) else { throw .badTarget }
        self.start = buffer.writerIndex
        buffer.writeBytes(method)
        buffer.writeInteger(ByteClass.space)
        buffer.writeBytes(target)
        buffer.writeStaticString(" HTTP/1.1\r\n")
    }

    /// A request line whose parts have been judged, as `HTTP/1.1`.
    ///
    /// - Parameter judgedMethod: the bytes of a method without a number; nil for the others.
    package init(
        judgedMethod: ByteBuffer?, _ method: RequestMethod, target: ByteBuffer, to buffer: inout ByteBuffer
    ) {
        self.start = buffer.writerIndex
        if let judgedMethod {
            buffer.writeImmutableBuffer(judgedMethod)
        } else {
            buffer.writeStaticString(method.name)
        }
        buffer.writeInteger(ByteClass.space)
        buffer.writeImmutableBuffer(target)
        buffer.writeStaticString(" HTTP/1.1\r\n")
    }

    /// A status line, as `HTTP/1.1`.
    ///
    /// - Parameters:
    ///   - status: 100...999.
    ///   - reason: may be empty, and has no control characters but HTAB.
    public init(status: Int, reason: some Collection<UInt8>, to buffer: inout ByteBuffer) throws(WriteFault) {
        guard 100...999 ~= status else { throw .badStatus }
        guard ByteClass.hasNoControl(reason) else { throw .badReason }
        self.start = buffer.writerIndex
        Self.writeStatus(status, to: &buffer)
        buffer.writeBytes(reason)
        buffer.writeStaticString("\r\n")
    }

    /// A status line that is a parsed one's, as `HTTP/1.1`, with its reason unchanged.
    public init(_ head: ResponseHead, to buffer: inout ByteBuffer) {
        self.start = buffer.writerIndex
        Self.writeStatus(head.status, to: &buffer)
        Self.write(head.reasonRange, of: head.fields, to: &buffer)
        buffer.writeStaticString("\r\n")
    }

    /// A status line whose parts have been judged, or are the code's own.
    ///
    /// - Parameter reason: writes it at the end of the buffer.
    package init(judgedStatus status: Int, to buffer: inout ByteBuffer, reason: (inout ByteBuffer) -> Void) {
        self.start = buffer.writerIndex
        Self.writeStatus(status, to: &buffer)
        reason(&buffer)
        buffer.writeStaticString("\r\n")
    }

    /// A status line with fields, none of which is a framing field.
    package init(encoded head: EncodedHead, to buffer: inout ByteBuffer) {
        self.start = buffer.writerIndex
        head.withBytes { _ = buffer.writeBytes($0) }
    }

    /// The last chunk's line. Trailers may follow; `finish(.none)` ends the content.
    public init(lastChunkTo buffer: inout ByteBuffer) {
        self.start = buffer.writerIndex
        buffer.writeStaticString("0\r\n")
    }

    /// A parsed field, byte for byte but for the whitespace around its value. Framing fields are dropped silently:
    /// ``finish(_:to:)`` writes them.
    public mutating func add(_ field: FieldRecord, of section: FieldSection, to buffer: inout ByteBuffer) {
        if field.known == .contentLength || field.known == .transferEncoding { return }
        let name = field.name
        let value = field.value
        section.bytes.withUnsafeReadableBytes { source in
            _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: name.count + value.count + 4) { target in
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[name]))
                target[name.count] = UInt8(ascii: ":")
                target[name.count + 1] = ByteClass.space
                let start = name.count + 2
                UnsafeMutableRawBufferPointer(rebasing: target[start...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[value]))
                target[start + value.count] = ByteClass.carriageReturn
                target[start + value.count + 1] = ByteClass.lineFeed
                return name.count + value.count + 4
            }
        }
    }

    /// A field whose name has a number, in its usual spelling.
    public mutating func add(
        _ name: KnownField, _ value: some Collection<UInt8>, to buffer: inout ByteBuffer
    ) throws(WriteFault) {
        if name == .contentLength || name == .transferEncoding { throw .framingField }
        guard ByteClass.hasNoControl(value) else { throw .badFieldValue }
        buffer.writeBytes(UnsafeRawBufferPointer(name.name))
        Self.writeRest(value, to: &buffer)
    }

    /// Any field.
    public mutating func add(
        name: some Collection<UInt8>, value: some Collection<UInt8>, to buffer: inout ByteBuffer
    ) throws(WriteFault) {
        guard ByteClass.isToken(name) else { throw .badFieldName }
        guard ByteClass.hasNoControl(value) else { throw .badFieldValue }
        switch KnownField(name) {
        case .contentLength, .transferEncoding: throw .framingField
        default: break
        }
        buffer.writeBytes(name)
        Self.writeRest(value, to: &buffer)
    }

    /// All fields of a section whose bytes are lines (``FieldSection/isLines``), in one piece. It has no framing fields.
    package mutating func add(lines section: FieldSection, to buffer: inout ByteBuffer) {
        buffer.writeImmutableBuffer(section.bytes)
    }

    /// A field that is no framing field, with a value that has been judged, or is the code's own.
    package mutating func add(_ name: KnownField, judged value: StaticString, to buffer: inout ByteBuffer) {
        self.add(
            name, judged: UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount), to: &buffer)
    }

    /// The same for a value that is put together while it is written.
    ///
    /// - Parameter write: writes the value at the end of the buffer.
    package mutating func add(_ name: KnownField, to buffer: inout ByteBuffer, _ write: (inout ByteBuffer) -> Void) {
        buffer.writeBytes(UnsafeRawBufferPointer(name.name))
        buffer.writeStaticString(": ")
        write(&buffer)
        buffer.writeStaticString("\r\n")
    }

    /// The same for bytes in memory.
    package mutating func add(_ name: KnownField, judged value: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        let name = UnsafeRawBufferPointer(name.name)
        let count = name.count + value.count + 4
        _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            target.copyMemory(from: name)
            target[name.count] = UInt8(ascii: ":")
            target[name.count + 1] = ByteClass.space
            let start = name.count + 2
            UnsafeMutableRawBufferPointer(rebasing: target[start...]).copyMemory(from: value)
            target[start + value.count] = ByteClass.carriageReturn
            target[start + value.count + 1] = ByteClass.lineFeed
            return count
        }
    }

    /// The same for a value that is put together where it stands, in one piece with its line.
    ///
    /// - Parameters:
    ///   - most: how many bytes the value takes at most.
    ///   - put: writes the value at the beginning of so much memory, and returns its length.
    package mutating func add(
        _ name: KnownField, most: Int, to buffer: inout ByteBuffer, _ put: (UnsafeMutableRawBufferPointer) -> Int
    ) {
        let name = UnsafeRawBufferPointer(name.name)
        let start = name.count + 2
        _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: start + most + 2) { target in
            target.copyMemory(from: name)
            target[name.count] = UInt8(ascii: ":")
            target[name.count + 1] = ByteClass.space
            let end = start + put(UnsafeMutableRawBufferPointer(rebasing: target[start..<(start + most)]))
            target[end] = ByteClass.carriageReturn
            target[end + 1] = ByteClass.lineFeed
            return end + 2
        }
    }

    /// The same for a name without a number: a token.
    package mutating func add(_ name: StaticString, judged value: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(name)
        buffer.writeStaticString(": ")
        buffer.writeBytes(value)
        buffer.writeStaticString("\r\n")
    }

    /// The framing field, if there has to be one, and the empty line.
    ///
    /// - Parameter framing: `.length` also tells of a content that does not follow, in a response to HEAD or with 304.
    public consuming func finish(_ framing: BodyFraming, to buffer: inout ByteBuffer) {
        switch framing {
        case .none, .untilClose:
            buffer.writeStaticString("\r\n")
        case .chunked:
            buffer.writeStaticString("Transfer-Encoding: chunked\r\n\r\n")
        case .length(let length):
            self.add(.contentLength, most: Self.mostDigits, to: &buffer) {
                Self.putDecimal(UInt64(max(0, length)), at: 0, of: $0)
            }
            buffer.writeStaticString("\r\n")
        }
    }

    /// Takes back what was written of this head.
    public consuming func cancel(in buffer: inout ByteBuffer) {
        buffer.moveWriterIndex(to: self.start)
    }

    private static func writeStatus(_ status: Int, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("HTTP/1.1 ")
        self.writeDecimal(UInt64(status), to: &buffer)
        buffer.writeInteger(ByteClass.space)
    }

    private static func write(_ range: Range<Int>, of section: FieldSection, to buffer: inout ByteBuffer) {
        section.bytes.withUnsafeReadableBytes { source in
            _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: source[range]))
        }
    }

    private static func writeRest(_ value: some Collection<UInt8>, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(": ")
        buffer.writeBytes(value)
        buffer.writeStaticString("\r\n")
    }

    private static func writeDecimal(_ number: UInt64, to buffer: inout ByteBuffer) {
        _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.mostDigits) {
            Self.putDecimal(number, at: 0, of: $0)
        }
    }

    /// They hold every 64-bit number.
    package static var mostDigits: Int { 20 }

    /// Writes a number in decimal digits.
    ///
    /// - Returns: the place behind it.
    package static func putDecimal(
        _ number: UInt64, at start: Int, of memory: UnsafeMutableRawBufferPointer
    ) -> Int {
        var end = start + 1
        var rest = number / 10
        while rest > 0 {
            end += 1
            rest /= 10
        }
        rest = number
        var place = end
        repeat {
            place -= 1
            memory[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        return end
    }

    private static func isTarget(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy(ByteClass.isTargetByte)
    }
}
