public import NIOCore

/// What goes over a link of streams (docs/native-handshake.md, *Links of streams*): a header of 8 bytes, and a body.
///
/// | bytes | |
/// | --- | --- |
/// | 1 | kind |
/// | 1 | 0 |
/// | 2 | length of the body, 0 to 16,384 |
/// | 4 | stream, 0 for what is about the link |
/// | … | body |
///
/// All integers are big endian. Bodies are checked here for their form; what a frame means where it comes, the ``StreamMachine`` says.
public enum StreamFrame: Equatable, Sendable {
    public typealias ID = UInt32

    /// A new stream: how many bytes its opener takes without further word, and what it says of the client (``StreamMachine/Limits/introduction``
    /// bytes at most).
    case open(ID, window: UInt32, introduction: ByteBuffer)
    /// The stream is taken: so many more bytes may be sent to its accepter.
    case accept(ID, window: UInt32)
    /// 1 to 16,384 bytes.
    case data(ID, ByteBuffer)
    /// No more data this way; the other way goes on.
    case end(ID)
    /// Its sender sends nothing more and reads nothing more. What it sent before counts.
    case close(ID)
    /// Its sender is done with the stream, and what it sent before may be dropped.
    case reset(ID, StreamReset)
    /// So many more bytes may be sent this way; not 0.
    case window(ID, UInt32)
    case ping(UInt64)
    /// With the same number.
    case pong(UInt64)
    /// The accepter takes no further streams over this link; those there are go on.
    case drain

    enum Kind: UInt8 {
        case open = 1
        case accept
        case data
        case end
        case close
        case reset
        case window
        case ping
        case pong
        case drain
    }

    public static let headerSize = 8
    /// Of a body, in bytes.
    public static let maximumBody = 16_384
    /// What both ends say in TLS (ALPN, RFC 7301) for this revision of the frames.
    public static let protocolName = "latchstring-streams/1"
}

/// Why a stream was broken off.
public enum StreamReset: UInt8, Sendable, CaseIterable {
    /// One of its ends broke: a connection was reset, a process ended.
    case broken = 1
    /// Not taken, since the key holder is about to stop or to leave its work to another process: to be tried elsewhere.
    case draining
    /// Not taken, since there are too many, or they come too fast: to be tried elsewhere.
    case busy
    /// The edge is not allowed to have it any more.
    case withdrawn
    /// What was said of the client makes no sense.
    case malformed
}

/// What a peer does that a link does not go on after. The link is closed.
public enum StreamLinkError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownKind(UInt8)
    /// The header's second byte is not 0.
    case reservedByte
    case badLength(kind: UInt8, length: Int)
    case unknownReason(UInt8)
    /// A frame about the link that names a stream, or the reverse.
    case badStream(StreamFrame.ID)
    /// A stream that was not the next one, or that this end should have opened.
    case badOpen(StreamFrame.ID)
    case tooManyStreams
    /// A frame for a stream in whose state it has no place.
    case unexpected(StreamFrame.ID)
    /// More data than was allowed.
    case overWindow(StreamFrame.ID)
    /// Allowed more than can be counted.
    case windowOverflow(StreamFrame.ID)
    /// It does not read what it makes this end send.
    case notReading

    public var description: String {
        switch self {
        case .unknownKind(let kind): "a frame of kind \(kind)"
        case .reservedByte: "a frame whose second byte is not 0"
        case .badLength(let kind, let length): "a frame of kind \(kind) with a body of \(length) bytes"
        case .unknownReason(let reason): "a reset with the reason \(reason)"
        case .badStream(let id): "a frame about the link or a stream, with the number \(id)"
        case .badOpen(let id): "stream \(id) is opened, which is not the next one"
        case .tooManyStreams: "more streams than a link carries"
        case .unexpected(let id): "a frame that has no place in the state of stream \(id)"
        case .overWindow(let id): "more data on stream \(id) than was allowed"
        case .windowOverflow(let id): "more is allowed on stream \(id) than can be counted"
        case .notReading: "it does not read what it is sent"
        }
    }
}

// MARK: On the wire

extension StreamFrame {
    /// Appends the frame.
    public func write(into buffer: inout ByteBuffer) {
        switch self {
        case .open(let id, let window, let introduction):
            Self.writeHeader(.open, length: 4 + introduction.readableBytes, id, into: &buffer)
            buffer.writeInteger(window)
            buffer.writeImmutableBuffer(introduction)
        case .accept(let id, let window): Self.write(.accept, id, window, into: &buffer)
        case .data(let id, let bytes):
            Self.writeHeader(.data, length: bytes.readableBytes, id, into: &buffer)
            buffer.writeImmutableBuffer(bytes)
        case .end(let id): Self.writeHeader(.end, length: 0, id, into: &buffer)
        case .close(let id): Self.writeHeader(.close, length: 0, id, into: &buffer)
        case .reset(let id, let reason):
            Self.writeHeader(.reset, length: 1, id, into: &buffer)
            buffer.writeInteger(reason.rawValue)
        case .window(let id, let more): Self.write(.window, id, more, into: &buffer)
        case .ping(let number): Self.write(.ping, 0, number, into: &buffer)
        case .pong(let number): Self.write(.pong, 0, number, into: &buffer)
        case .drain: Self.writeHeader(.drain, length: 0, 0, into: &buffer)
        }
    }

    static func writeHeader(_ kind: Kind, length: Int, _ id: ID, into buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(kind.rawValue, UInt8(0), UInt16(truncatingIfNeeded: length), id)
    }

    private static func write(
        _ kind: Kind, _ id: ID, _ number: some FixedWidthInteger, into buffer: inout ByteBuffer
    ) {
        Self.writeHeader(kind, length: number.bitWidth / 8, id, into: &buffer)
        buffer.writeInteger(number)
    }
}

/// Takes what comes over a link apart into frames, whatever way it was split.
///
/// The peer's violations: everything in ``StreamLinkError`` that concerns one frame by itself; the error is repeated by every later call.
/// Holds one unfinished frame at most beyond what one call of ``receive(_:)`` gave it. Call ``next()`` until it returns nil after each.
public struct StreamFrameReader: Sendable {
    private var buffer = ByteBuffer()
    /// Bodies that were given out may share storage with `buffer`; writing to it then would copy all of it.
    private var mayBeShared = false
    private var failure: StreamLinkError?
    private let maximumIntroduction: Int

    public init(maximumIntroduction: Int = StreamMachine.Limits().introduction) {
        self.maximumIntroduction = maximumIntroduction
    }

    /// Bytes for which no frame was given out yet.
    public var bufferedBytes: Int { self.buffer.readableBytes }

    public mutating func receive(_ bytes: ByteBuffer) {
        guard self.failure == nil else { return }
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
            self.mayBeShared = true
            return
        }
        if self.mayBeShared {
            var fresh = ByteBuffer()
            fresh.reserveCapacity(max(self.buffer.readableBytes + bytes.readableBytes, 1024))
            fresh.writeImmutableBuffer(self.buffer)
            self.buffer = fresh
            self.mayBeShared = false
        }
        self.buffer.writeImmutableBuffer(bytes)
    }

    /// The next frame, or nil when more bytes are needed.
    public mutating func next() throws(StreamLinkError) -> StreamFrame? {
        if let failure = self.failure { throw failure }
        do throws(StreamLinkError) {
            return try self.read()
        } catch {
            self.failure = error
            self.buffer = ByteBuffer()
            throw error
        }
    }

    private mutating func read() throws(StreamLinkError) -> StreamFrame? {
        let start = self.buffer.readerIndex
        guard
            let (rawKind, reserved, rawLength, id) = self.buffer.getMultipleIntegers(
                at: start, as: (UInt8, UInt8, UInt16, UInt32).self)
        else { return nil }
        guard reserved == 0 else { throw .reservedByte }
        guard let kind = StreamFrame.Kind(rawValue: rawKind) else { throw .unknownKind(rawKind) }
        let length = Int(rawLength)
        guard self.allows(length, for: kind) else { throw .badLength(kind: rawKind, length: length) }
        guard (id == 0) == kind.isAboutLink else { throw .badStream(id) }
        guard self.buffer.readableBytes >= StreamFrame.headerSize + length else { return nil }
        self.buffer.moveReaderIndex(forwardBy: StreamFrame.headerSize)
        guard var body = self.buffer.readSlice(length: length) else { return nil }
        self.mayBeShared = true
        if self.buffer.readableBytes == 0 { self.buffer = ByteBuffer() }
        switch kind {
        case .open:
            let window: UInt32 = body.readInteger() ?? 0
            return .open(id, window: window, introduction: body)
        case .accept: return .accept(id, window: body.readInteger() ?? 0)
        case .data: return .data(id, body)
        case .end: return .end(id)
        case .close: return .close(id)
        case .reset:
            let reason: UInt8 = body.readInteger() ?? 0
            guard let reason = StreamReset(rawValue: reason) else { throw .unknownReason(reason) }
            return .reset(id, reason)
        case .window:
            guard let more: UInt32 = body.readInteger(), more > 0 else { throw .windowOverflow(id) }
            return .window(id, more)
        case .ping: return .ping(body.readInteger() ?? 0)
        case .pong: return .pong(body.readInteger() ?? 0)
        case .drain: return .drain
        }
    }

    private func allows(_ length: Int, for kind: StreamFrame.Kind) -> Bool {
        switch kind {
        case .open: (4...4 + self.maximumIntroduction).contains(length)
        case .accept, .window: length == 4
        case .data: (1...StreamFrame.maximumBody).contains(length)
        case .end, .close, .drain: length == 0
        case .reset: length == 1
        case .ping, .pong: length == 8
        }
    }
}

extension StreamFrame.Kind {
    fileprivate var isAboutLink: Bool {
        switch self {
        case .ping, .pong, .drain: true
        case .open, .accept, .data, .end, .close, .reset, .window: false
        }
    }
}
