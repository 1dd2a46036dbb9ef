import NIOCore

/// A response's status line and fields as HTTP/1.1 writes them, without the empty line: what is stored is sent as it stands.
///
///     HTTP/1.1 200 OK CRLF *( name ":" SP value CRLF )
///
/// One allocation of exactly the bytes that it takes, or none, where a store keeps them in a block with the content. Where the fields
/// stand is not kept, since a hit does not ask: a reader that does walks the lines (``forEachField(_:)``) or has them listed
/// (``section``).
public struct EncodedHead: Sendable {
    /// Its own; empty while `kept` has them.
    private var own: [UInt8]
    private var kept: KeptBytes?

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
        self.own = []
        self.own.reserveCapacity(Self.reasonStart + reason.count + 2 + capacity)
        self.writeStatusLine(status, reason)
    }

    /// A head that a store keeps.
    ///
    /// - Parameter bytes: those of another head.
    package init(kept bytes: KeptBytes) {
        self.own = []
        self.kept = bytes
    }

    /// With bytes of its own, which keep no store's block.
    package var detached: EncodedHead {
        guard self.kept != nil else { return self }
        var head = self
        (head.own, head.kept) = (self.bytes, nil)
        return head
    }

    /// 100...999.
    public var status: Int {
        let zero = Int(UInt8(ascii: "0"))
        return self.withBytes { (Int($0[9]) - zero) * 100 + (Int($0[10]) - zero) * 10 + Int($0[11]) - zero }
    }

    /// As it came; may be empty.
    public var reason: [UInt8] { self.withBytes { Array($0[Self.reasonStart..<(self.linesStart - 2)]) } }

    /// Where the first field's line begins.
    public var linesStart: Int {
        // The status line ends with the first line feed.
        self.withBytes { $0.firstIndex(of: ByteClass.lineFeed) ?? $0.count - 1 } + 1
    }

    /// How many bytes it has.
    public var count: Int { self.kept?.count ?? self.own.count }

    /// A copy, where a store keeps them: ``withBytes(_:)`` makes none.
    public var bytes: [UInt8] { self.kept?.withBytes { Array($0) } ?? self.own }

    /// - Parameter body: the pointer is valid until it returns.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if let kept { return try kept.withBytes(body) }
        let bytes = self.own.span.bytes
        return try bytes.withUnsafeBytes(body)
    }

    /// - Parameter body: the span is valid until it returns.
    public func withSpan<Result>(_ body: (borrowing Span<UInt8>) -> Result) -> Result {
        guard let kept else { return body(self.own.span) }
        return kept.withBytes { bytes in body(bytes.assumingMemoryBound(to: UInt8.self).span) }
    }

    /// From here on it has bytes of its own.
    private mutating func detach() {
        guard let kept else { return }
        self.own = kept.withBytes { Array($0) }
        self.kept = nil
    }

    // MARK: adding

    /// A field of a section, byte for byte.
    public mutating func add(_ field: FieldRecord, of section: FieldSection) {
        self.detach()
        section.bytes.withUnsafeReadableBytes { source in
            self.own.append(contentsOf: source[field.name])
            self.write(": ")
            self.own.append(contentsOf: source[field.value])
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
        self.detach()
        self.own.append(contentsOf: name.name)
        self.write(": ")
        self.own.append(contentsOf: value)
        self.write("\r\n")
    }

    /// A number.
    public mutating func add(_ name: KnownField, _ value: Int64) {
        self.detach()
        self.own.append(contentsOf: name.name)
        self.write(": ")
        self.own.append(contentsOf: String(value).utf8)
        self.write("\r\n")
    }

    /// Any field.
    public mutating func add(
        name: some Collection<UInt8>, value: some BidirectionalCollection<UInt8>
    ) throws(FieldFault) {
        guard ByteClass.isToken(name) else { throw .badName }
        guard ByteClass.isValue(value) else { throw .badValue }
        self.detach()
        self.own.append(contentsOf: name)
        self.write(": ")
        self.own.append(contentsOf: value)
        self.write("\r\n")
    }

    /// The status line with those fields that `keeps` says.
    ///
    /// - Parameter names: tells whether a field has a name.
    public func filtered(_ keeps: (FieldRecord, FieldNames) -> Bool) -> EncodedHead {
        var rest = EncodedHead(capacity: self.count)
        let linesStart = self.linesStart
        self.withBytes { rest.own.append(contentsOf: $0[..<linesStart]) }
        self.copyFields(to: &rest, where: keeps)
        return rest
    }

    /// Another status line, with those fields that `keeps` says.
    ///
    /// - Parameters:
    ///   - status: 100...999.
    ///   - reason: the usual phrase.
    package func filtered(
        status: Int, reason: StaticString, _ keeps: (FieldRecord, FieldNames) -> Bool
    ) -> EncodedHead {
        var rest = EncodedHead(capacity: self.count + 128)
        rest.writeStatusLine(status, UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount))
        self.copyFields(to: &rest, where: keeps)
        return rest
    }

    /// Nothing yet, not even a status line.
    private init(capacity: Int) {
        self.own = []
        self.own.reserveCapacity(capacity)
    }

    private func copyFields(to other: inout EncodedHead, where keeps: (FieldRecord, FieldNames) -> Bool) {
        let names = FieldNames(head: self)
        self.withBytes { bytes in
            self.forEachField { field in
                guard keeps(field, names) else { return }
                other.own.append(contentsOf: bytes[field.name.lowerBound..<(field.value.upperBound + 2)])
            }
        }
    }

    /// The names in a head.
    public struct FieldNames {
        fileprivate let head: EncodedHead

        public func matches(_ name: FieldName, _ field: FieldRecord) -> Bool {
            self.head.withSpan { name.matches(field, $0) }
        }
    }

    private mutating func writeStatusLine(_ status: Int, _ reason: some Collection<UInt8>) {
        self.write("HTTP/1.1 ")
        for divisor in [100, 10, 1] { self.own.append(UInt8(ascii: "0") + UInt8(status / divisor % 10)) }
        self.own.append(ByteClass.space)
        self.own.append(contentsOf: reason)
        self.write("\r\n")
    }

    private mutating func write(_ text: StaticString) {
        self.own.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    // MARK: reading

    /// Calls `body` for each field, in order. Its ranges count from the first byte of ``bytes``.
    public func forEachField(_ body: (FieldRecord) -> Void) {
        let start = self.linesStart
        self.withSpan { Self.forEachField($0, from: start, body) }
    }

    private static func forEachField(
        _ span: borrowing Span<UInt8>, from start: Int, _ body: (FieldRecord) -> Void
    ) {
        var position = start
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
        return FieldSection(bytes: self.withBytes { ByteBuffer(bytes: $0) }, table: table)
    }
}

extension EncodedHead: Hashable {
    /// The same bytes.
    public static func == (one: EncodedHead, other: EncodedHead) -> Bool {
        one.withBytes { first in other.withBytes { first.elementsEqual($0) } }
    }

    public func hash(into hasher: inout Hasher) {
        self.withBytes { hasher.combine(bytes: $0) }
    }
}
