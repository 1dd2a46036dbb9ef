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

    /// Writes the head with its empty line, at the end of a buffer.
    public func write(to buffer: inout ByteBuffer) {
        var writer = HeadWriter(encoded: self.lines, to: &buffer)
        if let age { writer.add(.age, .number(age), to: &buffer) }
        if let status { writer.add(.cacheStatus, status, to: &buffer) }
        writer.add(self.connection, to: &buffer)
        writer.finish(self.contentLength.map { .length($0) } ?? .none, to: &buffer)
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
