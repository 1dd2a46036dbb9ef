public import HTTPFields
import HTTPWire
public import NIOCore

/// The head of a stored response as a client of HTTP/1.1 gets it: the stored lines as they stand, and what a hit adds.
public struct StoredHead {
    /// Status line and fields, without framing fields, `Connection`, `Age` and `Cache-Status`.
    public let lines: EncodedHead
    /// Seconds; nil: no such field.
    public let age: Int64?
    /// `Cache-Status`; nil: no such field.
    public let status: AddedFields.Value?
    public let connection: OutgoingHead.ConnectionField
    /// Also where no content follows; nil: no such field, and no content.
    public let contentLength: Int64?

    public init(
        lines: EncodedHead, age: Int64?, status: AddedFields.Value?, connection: OutgoingHead.ConnectionField,
        contentLength: Int64?
    ) {
        self.lines = lines
        self.age = age
        self.status = status
        self.connection = connection
        self.contentLength = contentLength
    }

    /// How many bytes it takes at most.
    public var most: Int { self.lines.count + (self.status.map { $0.most } ?? 0) + Self.mostAdded }

    /// Names and their marks, two numbers, the value of `Connection`, the empty line.
    private static let mostAdded = 160

    /// Writes the head with its empty line, and the content where it is at hand, at the end of a buffer: all in one piece.
    public func write(to buffer: inout ByteBuffer, with content: KeptBytes? = nil) {
        _ = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: self.most + (content?.count ?? 0)) { memory in
            var lines = HeadLines(memory)
            self.lines.withBytes { lines.put($0) }
            if let age { lines.add(.age) { AddedFields.Value.number(age).put(in: $0) } }
            if let status { lines.add(.cacheStatus) { status.put(in: $0) } }
            switch self.connection {
            case .none: break
            case .close: lines.add(.connection, "close")
            case .keepAlive: lines.add(.connection, "keep-alive")
            case .upgrade(close: false): lines.add(.connection, "Upgrade")
            case .upgrade(close: true): lines.add(.connection, "Upgrade, close")
            }
            if let contentLength {
                lines.add(.contentLength) { AddedFields.Value.number(contentLength).put(in: $0) }
            }
            lines.end()
            content?.withBytes { lines.put($0) }
            return lines.count
        }
    }
}

/// Lines of a head, written to memory that has room for all of them. Values have been judged, or are the code's own.
private struct HeadLines: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: self.memory[self.count...]).copyMemory(from: bytes)
        self.count += bytes.count
    }

    mutating func put(_ byte: UInt8) {
        self.memory[self.count] = byte
        self.count += 1
    }

    mutating func add(_ name: KnownField, _ value: (UnsafeMutableRawBufferPointer) -> Int) {
        self.put(UnsafeRawBufferPointer(name.name))
        self.put(UInt8(ascii: ":"))
        self.put(ByteClass.space)
        self.count += value(UnsafeMutableRawBufferPointer(rebasing: self.memory[self.count...]))
        self.end()
    }

    mutating func add(_ name: KnownField, _ value: StaticString) {
        self.add(name) { memory in
            value.withUTF8Buffer { memory.copyMemory(from: UnsafeRawBufferPointer($0)) }
            return value.utf8CodeUnitCount
        }
    }

    mutating func end() {
        self.put(ByteClass.carriageReturn)
        self.put(ByteClass.lineFeed)
    }
}

extension HeadWriter {
    mutating func add(_ name: KnownField, _ value: AddedFields.Value, to buffer: inout ByteBuffer) {
        self.add(name, most: value.most, to: &buffer) { value.put(in: $0) }
    }

    mutating func add(_ connection: OutgoingHead.ConnectionField, to buffer: inout ByteBuffer) {
        switch connection {
        case .none: break
        case .close: self.add(.connection, judged: "close", to: &buffer)
        case .keepAlive: self.add(.connection, judged: "keep-alive", to: &buffer)
        case .upgrade(close: false): self.add(.connection, judged: "Upgrade", to: &buffer)
        case .upgrade(close: true): self.add(.connection, judged: "Upgrade, close", to: &buffer)
        }
    }
}
