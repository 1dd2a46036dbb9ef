import NIOCore

/// A response's status line and fields as HTTP/1.1 writes them, without the empty line: what is stored is sent as it stands.
///
///     HTTP/1.1 200 OK CRLF *( name ":" SP value CRLF )
///
/// One allocation of exactly the bytes that it takes. Where the fields stand is not kept, since a hit does not ask: a reader
/// that does walks the lines (``forEachField(_:)``) or has them listed (``section``).
public struct EncodedHead: Hashable, Sendable {
    public private(set) var bytes: [UInt8]

    /// `HTTP/1.1 `, three digits and a space.
    private static let reasonStart = 13

    /// A status line.
    ///
    /// - Parameters:
    ///   - status: 100...999.
    ///   - reason: may be empty.
    ///   - capacity: bytes that the fields will take, if that is known.
    /// - Throws: ``FieldFault/badValue`` for another status, and for a control character other than HTAB in the reason.
    public init(status: Int, reason: some Collection<UInt8>, capacity: Int = 0) throws(FieldFault) {
        guard 100...999 ~= status, ByteClass.hasNoControl(reason) else { throw .badValue }
        self.bytes = []
        self.bytes.reserveCapacity(Self.reasonStart + reason.count + 2 + capacity)
        self.writeStatusLine(status, reason)
    }

    /// 100...999.
    public var status: Int {
        let zero = Int(UInt8(ascii: "0"))
        return (Int(self.bytes[9]) - zero) * 100 + (Int(self.bytes[10]) - zero) * 10 + Int(self.bytes[11]) - zero
    }

    /// As it came; may be empty.
    public var reason: ArraySlice<UInt8> { self.bytes[Self.reasonStart..<(self.linesStart - 2)] }

    /// Where the first field's line begins.
    public var linesStart: Int {
        // The status line ends with the first line feed.
        (self.bytes.firstIndex(of: ByteClass.lineFeed) ?? self.bytes.count - 1) + 1
    }

    // MARK: adding

    /// A field of a section, byte for byte.
    public mutating func add(_ field: FieldRecord, of section: FieldSection) {
        section.bytes.withUnsafeReadableBytes { source in
            self.bytes.append(contentsOf: source[field.name])
            self.write(": ")
            self.bytes.append(contentsOf: source[field.value])
            self.write("\r\n")
        }
    }

    /// All fields of a section.
    public mutating func add(_ section: FieldSection) {
        for field in section { self.add(field, of: section) }
    }

    /// A field whose name has a number, in its usual spelling.
    public mutating func add(_ name: KnownField, _ value: some BidirectionalCollection<UInt8>) throws(FieldFault) {
        guard ByteClass.isValue(value) else { throw .badValue }
        self.bytes.append(contentsOf: name.name)
        self.write(": ")
        self.bytes.append(contentsOf: value)
        self.write("\r\n")
    }

    /// A number.
    public mutating func add(_ name: KnownField, _ value: Int64) {
        self.bytes.append(contentsOf: name.name)
        self.write(": ")
        self.bytes.append(contentsOf: String(value).utf8)
        self.write("\r\n")
    }

    /// Any field.
    public mutating func add(
        name: some Collection<UInt8>, value: some BidirectionalCollection<UInt8>
    ) throws(FieldFault) {
        guard ByteClass.isToken(name) else { throw .badName }
        guard ByteClass.isValue(value) else { throw .badValue }
        self.bytes.append(contentsOf: name)
        self.write(": ")
        self.bytes.append(contentsOf: value)
        self.write("\r\n")
    }

    /// The status line with those fields that `keeps` says.
    ///
    /// - Parameter names: tells whether a field has a name.
    public func filtered(_ keeps: (FieldRecord, FieldNames) -> Bool) -> EncodedHead {
        var kept = self
        kept.bytes.removeAll(keepingCapacity: true)
        kept.bytes.append(contentsOf: self.bytes[..<self.linesStart])
        self.copyFields(to: &kept, where: keeps)
        return kept
    }

    /// Another status line, with those fields that `keeps` says.
    ///
    /// - Parameters:
    ///   - status: 100...999.
    ///   - reason: the usual phrase.
    package func filtered(
        status: Int, reason: StaticString, _ keeps: (FieldRecord, FieldNames) -> Bool
    ) -> EncodedHead {
        var kept = self
        kept.bytes = []
        kept.bytes.reserveCapacity(self.bytes.count + 128)
        kept.writeStatusLine(status, UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount))
        self.copyFields(to: &kept, where: keeps)
        return kept
    }

    private func copyFields(to other: inout EncodedHead, where keeps: (FieldRecord, FieldNames) -> Bool) {
        let names = FieldNames(bytes: self.bytes)
        self.forEachField { field in
            guard keeps(field, names) else { return }
            other.bytes.append(contentsOf: self.bytes[field.name.lowerBound..<(field.value.upperBound + 2)])
        }
    }

    /// The names in a head.
    public struct FieldNames {
        fileprivate let bytes: [UInt8]

        public func matches(_ name: FieldName, _ field: FieldRecord) -> Bool { name.matches(field, self.bytes.span) }
    }

    private mutating func writeStatusLine(_ status: Int, _ reason: some Collection<UInt8>) {
        self.write("HTTP/1.1 ")
        for divisor in [100, 10, 1] { self.bytes.append(UInt8(ascii: "0") + UInt8(status / divisor % 10)) }
        self.bytes.append(ByteClass.space)
        self.bytes.append(contentsOf: reason)
        self.write("\r\n")
    }

    private mutating func write(_ text: StaticString) {
        self.bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    // MARK: reading

    /// Calls `body` for each field, in order. Its ranges count from the first byte of ``bytes``.
    public func forEachField(_ body: (FieldRecord) -> Void) {
        let span = self.bytes.span
        var position = self.linesStart
        while position < span.count {
            // Every line is one that was written above.
            let nameStart = position
            while span[position] != UInt8(ascii: ":") { position &+= 1 }
            let name = nameStart..<position
            let valueStart = position &+ 2
            let end = ByteClass.firstControl(span, from: valueStart)
            body(FieldRecord(name: name, value: valueStart..<end, known: KnownField(span, name)))
            position = end &+ 2
        }
    }

    /// The fields, listed: for decisions that look at more than one of them. Copies the bytes.
    public var section: FieldSection {
        var table = FieldTable()
        self.forEachField { table.append($0) }
        return FieldSection(bytes: ByteBuffer(bytes: self.bytes), table: table)
    }
}
