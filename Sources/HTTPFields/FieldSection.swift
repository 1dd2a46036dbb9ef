public import NIOCore

/// The fields of a head or of trailers, in their order: ranges into the bytes that came.
///
/// Ranges count from the first byte of ``bytes``, which is a slice of what was read: it keeps that memory alive.
public struct FieldSection: Sendable {
    /// The whole section: in a head, with its first line; without the empty line behind it.
    public let bytes: ByteBuffer
    let table: FieldTable
    /// The bytes are the fields' lines as HTTP/1.1 writes them, and nothing else: they can be copied as a whole. True of what a
    /// ``FieldSectionBuilder`` has put together.
    public let isLines: Bool

    package init(bytes: ByteBuffer, table: FieldTable, isLines: Bool = false) {
        self.bytes = bytes
        self.table = table
        self.isLines = isLines
    }

    /// Bytes of memory that the section holds: its own, and whatever else stands in the same storage.
    package var heldBytes: Int {
        self.bytes.storageCapacity + self.table.records.capacity * MemoryLayout<FieldRecord>.stride
    }

    /// Whether there is a field of this name. Takes the same time however many fields there are.
    public func contains(_ field: KnownField) -> Bool { self.table.known.contains(field) }

    /// Whether there are two fields of this name, or more.
    public func repeats(_ field: KnownField) -> Bool { self.table.repeated.contains(field) }

    /// The names that have a number.
    public var known: KnownFieldSet { self.table.known }

    /// The first field of this name.
    public func first(_ field: KnownField) -> FieldRecord? {
        guard self.contains(field) else { return nil }
        return self.table.records.first { $0.known == field }
    }

    /// The first field of a name that has no number, in any letter case.
    ///
    /// - Parameter name: in lower case.
    public func first(named name: StaticString) -> FieldRecord? {
        self.first { $0.known == nil && self.equals($0.name, name) }
    }

    /// Calls `body` with the bytes of a range, which are valid only until it returns.
    public func withBytes<Result>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.bytes.withUnsafeReadableBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// The bytes of a range, without a copy.
    public func slice(_ range: Range<Int>) -> ByteBuffer {
        // Every range of a section is one of its bytes.
        self.bytes.getSlice(at: self.bytes.readerIndex + range.lowerBound, length: range.count) ?? ByteBuffer()
    }

    /// Whether the bytes of a range are this text, apart from the case of letters.
    ///
    /// - Parameter text: in lower case.
    public func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        return self.withBytes(range) { bytes in
            for index in 0..<bytes.count where ByteClass.lowercased(bytes[index]) != text.utf8Start[index] {
                return false
            }
            return true
        }
    }
}

extension FieldSection: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { self.table.records.count }
    public subscript(position: Int) -> FieldRecord { self.table.records[position] }
}
