import NIOCore

/// An open stream (RFC 9113 §5.1): what either side may still send on it, and what waits for the client's window. Streams that are not
/// open have none. Pure.
struct StreamRecord: NumberedStream, Sendable {
    let id: HTTP2StreamID
    /// END_STREAM came.
    var clientEnded: Bool
    /// END_STREAM is in a frame of ours.
    var serverEnded = false
    var receive: ReceiveWindow
    /// What we may send. Below zero when the client's settings have made it smaller (RFC 9113 §6.9.2).
    var sendWindow: Int
    /// What of the response waits, in its order. Takes no memory before something does.
    private var parts: [ByteBuffer] = []
    /// Behind the parts.
    private var trailers: ByteBuffer?
    /// END_STREAM is given, and nothing further belongs to the response.
    private(set) var endIsGiven = false

    /// Parts up to this size are put together.
    private static let smallPart = 4096

    init(_ id: HTTP2StreamID, clientEnded: Bool, receive: Int, send: Int) {
        self.id = id
        self.clientEnded = clientEnded
        self.receive = ReceiveWindow(open: receive)
        self.sendWindow = send
    }

    var isOver: Bool { self.clientEnded && self.serverEnded }
    /// Something waits for the window, or for its turn.
    var isWaiting: Bool { !self.parts.isEmpty }

    mutating func give(end: Bool) { self.endIsGiven = end }

    /// - Parameter bytes: at least one.
    mutating func wait(_ bytes: ByteBuffer) {
        if let last = self.parts.indices.last, bytes.readableBytes <= Self.smallPart,
            self.parts[last].readableBytes <= Self.smallPart
        {
            self.parts[last].writeImmutableBuffer(bytes)
        } else {
            self.parts.append(bytes)
        }
    }

    mutating func wait(trailers: ByteBuffer) { self.trailers = trailers }

    /// The next part of at most so many bytes; nil if nothing waits, or may go.
    mutating func takePart(upTo count: Int) -> ByteBuffer? {
        guard !self.parts.isEmpty, count > 0 else { return nil }
        guard self.parts[0].readableBytes > count else { return self.parts.removeFirst() }
        return self.parts[0].readSlice(length: count)
    }

    /// Trailers that nothing stands before any more.
    mutating func takeTrailers() -> ByteBuffer? {
        guard self.parts.isEmpty else { return nil }
        defer { self.trailers = nil }
        return self.trailers
    }

    var hasTrailers: Bool { self.trailers != nil }
}
