import HTTPFields
public import NIOCore

/// A block that cannot be decoded: a connection error of type `COMPRESSION_ERROR` (RFC 9113 §4.3), since the tables of both sides
/// differ from here on. The raw value is constant text for logs and metrics.
public enum CompressionFault: String, Error, CaseIterable, Sendable {
    /// The block ends within a field.
    case truncated
    /// RFC 7541 §5.1: an integer that no block needs.
    case integerTooLarge = "integer-too-large"
    /// RFC 7541 §2.3.3: a place that is in neither table.
    case badIndex = "bad-index"
    /// RFC 7541 §5.2.
    case badHuffmanCode = "bad-huffman-code"
    /// RFC 7541 §4.2, §6.3: above the limit, behind a field, or more than two.
    case badTableSize = "bad-table-size"
}

/// Why a block is not decoded further: final for the connection.
public enum FieldBlockFault: Error, Equatable, Sendable {
    /// `COMPRESSION_ERROR`.
    case compression(CompressionFault)
    /// `ENHANCE_YOUR_CALM`: what it decodes to is more than ``FieldBlockLimits/decodedBytes``.
    case tooLarge
}

/// Decodes the field blocks of one client connection, in their order (HPACK, RFC 7541), to bytes as they were sent.
///
/// A section that is too large or malformed is decoded all the same, so that the tables stay in step: that is a matter of its
/// stream alone. But a table makes kilobytes of a byte (RFC 7541 §7.3), so that even what is dropped has a bound. The peer's violations:
/// ``FieldBlockFault``. Our bug: none that input could cause.
public struct FieldBlockDecoder: Sendable {
    private let limits: FieldBlockLimits
    private var dynamic = DynamicTable()
    /// Where a section is put together; kept from one to the next.
    private var work = ByteBuffer()
    private var records = FieldTable()

    public init(limits: FieldBlockLimits) {
        self.limits = limits
    }

    /// Entries that the table holds memory for.
    var heldTableEntries: Int { self.dynamic.heldEntries }

    /// Gives back what only the next block needs.
    public mutating func releaseMemory() {
        self.work = ByteBuffer()
        self.records = FieldTable()
    }

    public mutating func decode(_ block: ByteBuffer) throws(FieldBlockFault) -> FieldBlock {
        self.work.clear()
        self.records.reset()
        var section = Section()
        do throws(CompressionFault) {
            try self.decode(block, &section)
        } catch {
            throw .compression(error)
        }
        if section.size > self.limits.decodedBytes { throw .tooLarge }
        return FieldBlock(
            fields: self.records.repeated.contains(.cookie) ? self.withOneCookie(&section) : self.fields,
            method: section.method, scheme: section.scheme, path: section.path, authority: section.authority,
            malformation: section.malformation, isTooLarge: section.isTooLarge)
    }

    /// All fields, or those up to the one with which there are too many bytes.
    private mutating func decode(_ block: ByteBuffer, _ section: inout Section) throws(CompressionFault) {
        var input = Input(block)
        var sizeChanges = 0
        var hasField = false
        while !input.isAtEnd, section.size <= self.limits.decodedBytes {
            let first = input.peek()
            if first & 0xE0 == 0x20 {
                let size = try input.integer(prefix: 5)
                sizeChanges += 1
                guard !hasField, sizeChanges <= 2, size <= DynamicTable.maximumSize else { throw .badTableSize }
                self.dynamic.resize(to: size)
                continue
            }
            hasField = true
            if first & 0x80 != 0 {
                let index = try input.integer(prefix: 7)
                let (line, judgement) = try self.writeIndexed(index)
                self.take(line, judgement, &section)
            } else {
                let addsToTable = first & 0x40 != 0
                let index = try input.integer(prefix: addsToTable ? 6 : 4)
                try self.takeLiteral(&input, nameIndex: index, addsToTable: addsToTable, &section)
            }
        }
    }

    private var fields: FieldSection {
        FieldSection(bytes: ByteBufferAllocator().buffer(buffer: self.work), table: self.records)
    }

    /// Clients may cut `Cookie` at its semicolons, so that the table finds the parts again; HTTP/1.1 knows one field (RFC 9113 §8.2.3).
    private func withOneCookie(_ section: inout Section) -> FieldSection {
        let fields = self.fields
        var builder = FieldSectionBuilder(capacity: fields.bytes.readableBytes)
        for part in [\Section.method, \.scheme, \.path, \.authority] {
            guard let range = section[keyPath: part] else { continue }
            section[keyPath: part] = builder.addBytes(fields.slice(range).readableBytesView)
        }
        var cookie = ByteBuffer()
        for field in fields where field.known == .cookie {
            // An empty part is no pair, and would leave a separator at an end.
            if field.value.isEmpty { continue }
            if cookie.readableBytes > 0 { cookie.writeStaticString("; ") }
            cookie.writeImmutableBuffer(fields.slice(field.value))
        }
        var isFirst = true
        for field in fields {
            guard field.known == .cookie else {
                builder.add(field, of: fields)
                continue
            }
            // Its parts have been judged.
            if isFirst { try? builder.add(.cookie, cookie.readableBytesView) }
            isFirst = false
        }
        return builder.section
    }

    // MARK: One field

    /// Where a field stands in `work`.
    private struct Line {
        var start: Int
        var nameCount: Int
        var valueCount: Int

        var name: Range<Int> { self.start..<(self.start + self.nameCount) }
        var value: Range<Int> {
            (self.start + self.nameCount + 2)..<(self.start + self.nameCount + 2 + self.valueCount)
        }
    }

    /// What is known of a section beside its records.
    private struct Section {
        var method: Range<Int>?
        var scheme: Range<Int>?
        var path: Range<Int>?
        var authority: Range<Int>?
        var malformation: HTTP2Malformation?
        var isTooLarge = false
        var size = 0
        var count = 0
        var hasField = false
    }

    /// A field of a table, as a whole.
    private mutating func writeIndexed(_ index: Int) throws(CompressionFault) -> (Line, FieldJudgement) {
        let start = self.work.writerIndex
        if index == 0 { throw .badIndex }
        if index <= StaticTable.count {
            let (name, value) = StaticTable.entries[index - 1]
            self.work.writeStaticString(name)
            self.work.writeStaticString(": ")
            self.work.writeStaticString(value)
            self.work.writeStaticString("\r\n")
            let line = Line(start: start, nameCount: name.utf8CodeUnitCount, valueCount: value.utf8CodeUnitCount)
            return (line, StaticTable.judgements[index - 1])
        }
        guard index - StaticTable.count <= self.dynamic.count else { throw .badIndex }
        let entry = self.dynamic[index - StaticTable.count - 1]
        self.dynamic.withBytes(of: entry) { bytes in
            _ = self.work.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes.count + 4) { target in
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<entry.nameCount]))
                Self.writeSeparator(target, at: entry.nameCount)
                UnsafeMutableRawBufferPointer(rebasing: target[(entry.nameCount + 2)...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[entry.nameCount...]))
                Self.writeLineEnd(target, at: bytes.count + 2)
                return bytes.count + 4
            }
        }
        return (Line(start: start, nameCount: entry.nameCount, valueCount: entry.valueCount), entry.judgement)
    }

    private mutating func takeLiteral(
        _ input: inout Input, nameIndex: Int, addsToTable: Bool, _ section: inout Section
    ) throws(CompressionFault) {
        let start = self.work.writerIndex
        let nameCount: Int
        if nameIndex == 0 {
            nameCount = try input.string(to: &self.work)
        } else if nameIndex <= StaticTable.count {
            nameCount = self.work.writeStaticString(StaticTable.entries[nameIndex - 1].name)
        } else {
            guard nameIndex - StaticTable.count <= self.dynamic.count else { throw .badIndex }
            let entry = self.dynamic[nameIndex - StaticTable.count - 1]
            self.dynamic.withBytes(of: entry) { _ = self.work.writeBytes($0[..<entry.nameCount]) }
            nameCount = entry.nameCount
        }
        self.work.writeStaticString(": ")
        let line = Line(start: start, nameCount: nameCount, valueCount: try input.string(to: &self.work))
        self.work.writeStaticString("\r\n")
        let judgement = self.work.withUnsafeReadableBytes { bytes in
            let name = UnsafeRawBufferPointer(rebasing: bytes[line.name])
            let value = UnsafeRawBufferPointer(rebasing: bytes[line.value])
            let judgement = FieldJudgement(name: name, value: value)
            if addsToTable { self.dynamic.add(name: name, value: value, judgement) }
            return judgement
        }
        self.take(line, judgement, &section)
    }

    private static func writeSeparator(_ target: UnsafeMutableRawBufferPointer, at position: Int) {
        target[position] = UInt8(ascii: ":")
        target[position + 1] = ByteClass.space
    }

    private static func writeLineEnd(_ target: UnsafeMutableRawBufferPointer, at position: Int) {
        target[position] = ByteClass.carriageReturn
        target[position + 1] = ByteClass.lineFeed
    }

    // MARK: The section

    /// Counts a field that was written, and takes it back if it does not belong there.
    private mutating func take(_ line: Line, _ judgement: FieldJudgement, _ section: inout Section) {
        section.size += line.nameCount + line.valueCount + DynamicTable.overhead
        section.count += 1
        if section.size > self.limits.sectionBytes || section.count > self.limits.fields { section.isTooLarge = true }
        if section.isTooLarge { return self.takeBack(line) }
        switch judgement {
        case .field(let known):
            section.hasField = true
            return self.records.append(FieldRecord(name: line.name, value: line.value, known: known))
        case .malformed(let malformation):
            section.malformation = section.malformation ?? malformation
            return self.takeBack(line)
        case .method where section.method == nil && !section.hasField: section.method = line.value
        case .scheme where section.scheme == nil && !section.hasField: section.scheme = line.value
        case .path where section.path == nil && !section.hasField: section.path = line.value
        case .authority where section.authority == nil && !section.hasField: section.authority = line.value
        case .method, .scheme, .path, .authority:
            section.malformation = section.malformation ?? .badPseudoField
            return self.takeBack(line)
        }
    }

    private mutating func takeBack(_ line: Line) {
        self.work.moveWriterIndex(to: line.start)
    }
}

extension FieldBlockDecoder {
    /// A block's bytes, read from the front.
    private struct Input {
        private let bytes: ByteBuffer
        private var position = 0

        init(_ bytes: ByteBuffer) {
            self.bytes = bytes
        }

        var isAtEnd: Bool { self.position == self.bytes.readableBytes }

        /// There is one.
        func peek() -> UInt8 { self.bytes.readableBytesUInt8Span[self.position] }

        private mutating func byte() throws(CompressionFault) -> UInt8 {
            guard !self.isAtEnd else { throw .truncated }
            defer { self.position += 1 }
            return self.peek()
        }

        /// RFC 7541 §5.1.
        mutating func integer(prefix: UInt8) throws(CompressionFault) -> Int {
            let mask = UInt8(1 << prefix &- 1)
            var value = Int(try self.byte() & mask)
            guard value == Int(mask) else { return value }
            var shift = 0
            while true {
                let byte = try self.byte()
                guard shift <= 21 else { throw .integerTooLarge }
                value += Int(byte & 0x7F) << shift
                if byte & 0x80 == 0 { return value }
                shift += 7
            }
        }

        /// RFC 7541 §5.2.
        ///
        /// - Returns: how many bytes were written.
        mutating func string(to buffer: inout ByteBuffer) throws(CompressionFault) -> Int {
            guard !self.isAtEnd else { throw .truncated }
            let isHuffman = self.peek() & 0x80 != 0
            let count = try self.integer(prefix: 7)
            guard count <= self.bytes.readableBytes - self.position else { throw .truncated }
            let range = self.position..<(self.position + count)
            self.position += count
            guard isHuffman else {
                return self.bytes.withUnsafeReadableBytes {
                    buffer.writeBytes(UnsafeRawBufferPointer(rebasing: $0[range]))
                }
            }
            var isCode = true
            let written = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Huffman.decodedBound(count)) {
                guard let count = Huffman.decode(self.bytes.readableBytesUInt8Span, range, into: $0) else {
                    isCode = false
                    return 0
                }
                return count
            }
            guard isCode else { throw .badHuffmanCode }
            return written
        }
    }
}
