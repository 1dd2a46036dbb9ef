public import NIOCore

/// One record, taken off the wire but not looked into.
public struct NativeFrame: Equatable, Sendable {
    public var type: NativeRecordType
    /// Header and body as they travelled: what the transcript takes in.
    public var record: ByteBuffer

    /// The bytes behind the header.
    var body: ByteBuffer {
        var body: ByteBuffer = self.record
        body.moveReaderIndex(forwardBy: NativeNumbers.headerLength)
        return body
    }
}

/// Cuts a stream of bytes into records.
///
/// Bounds are checked on the header alone, before the body arrives. Holds what it was given and not more than one record
/// beyond: a caller that reads from the network only when ``next()`` has said nil keeps it small. What waits for the rest of its record does not keep
/// the read that it came in.
public struct NativeFrameReader: Sendable {
    private var buffer = ByteBuffer()
    /// The longest body of a handshake record that is accepted.
    private let maximumHandshakeBody: Int

    /// - Parameter sender: Whose records these are.
    public init(from sender: NativeRole) {
        self.maximumHandshakeBody =
            sender == .client ? NativeNumbers.maximumClientBody : NativeNumbers.maximumOriginBody
    }

    public mutating func receive(_ bytes: ByteBuffer) {
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
        } else {
            var bytes: ByteBuffer = bytes
            self.buffer.discardReadBytes()
            self.buffer.writeBuffer(&bytes)
        }
    }

    /// What is kept for what waits, in bytes.
    var keptBytes: Int { self.buffer.storageCapacity }

    /// Whether a record has begun and not ended.
    public var isInsideRecord: Bool { self.buffer.readableBytes > 0 }

    /// Gives back whatever has not been taken as records.
    public mutating func takeRemaining() -> ByteBuffer {
        defer { self.buffer = ByteBuffer() }
        return self.buffer
    }

    /// The next whole record; nil if more bytes are needed.
    public mutating func next() throws(NativeError) -> NativeFrame? {
        if let frame = try self.read() { return frame }
        self.settle()
        return nil
    }

    /// What there is now will wait: a small rest is copied out of a large read.
    private mutating func settle() {
        let count: Int = self.buffer.readableBytes
        guard count > 0 else {
            self.buffer = ByteBuffer()
            return
        }
        guard self.buffer.storageCapacity > Self.slack * max(count, Self.small) else { return }
        var rest = ByteBuffer()
        rest.reserveCapacity(count)
        rest.writeImmutableBuffer(self.buffer)
        self.buffer = rest
    }

    /// What waits may keep so many times its bytes, or the bytes that are called small.
    private static let slack = 4
    private static let small = 256

    private mutating func read() throws(NativeError) -> NativeFrame? {
        let start: Int = self.buffer.readerIndex
        guard let first: UInt8 = self.buffer.getInteger(at: start) else { return nil }
        guard let type = NativeRecordType(rawValue: first) else { throw .notNative }
        if let version: UInt8 = self.buffer.getInteger(at: start + 1), version != NativeNumbers.version {
            throw .unsupportedVersion(version)
        }
        guard let length: UInt16 = self.buffer.getInteger(at: start + 2) else { return nil }
        switch type {
        case .handshake: guard Int(length) <= self.maximumHandshakeBody else { throw .tooLarge }
        case .alert: guard length == 1 else { throw .malformed("alert length") }
        case .protected: guard Int(length) <= NativeNumbers.maximumProtectedBody else { throw .tooLarge }
        }
        guard let record = self.buffer.readSlice(length: NativeNumbers.headerLength + Int(length)) else { return nil }
        return NativeFrame(type: type, record: record)
    }
}
