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
            if let age { lines.add("Age: ") { HeadWriter.putDecimal(UInt64(max(0, age)), at: 0, of: $0) } }
            if let status { lines.add("Cache-Status: ") { status.put(in: $0) } }
            switch self.connection {
            case .none: break
            case .close: lines.put("Connection: close\r\n")
            case .keepAlive: lines.put("Connection: keep-alive\r\n")
            case .upgrade(close: false): lines.put("Connection: Upgrade\r\n")
            case .upgrade(close: true): lines.put("Connection: Upgrade, close\r\n")
            }
            if let contentLength {
                lines.add("Content-Length: ") { HeadWriter.putDecimal(UInt64(max(0, contentLength)), at: 0, of: $0) }
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

    mutating func put(_ text: StaticString) {
        self.put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// - Parameter name: with what stands between it and its value.
    mutating func add(_ name: StaticString, _ value: (UnsafeMutableRawBufferPointer) -> Int) {
        self.put(name)
        self.count += value(UnsafeMutableRawBufferPointer(rebasing: self.memory[self.count...]))
        self.end()
    }

    mutating func end() {
        self.put("\r\n")
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
