public import NIOCore

/// An HTTP/2 connection as its server sees it (RFC 9113): a client's bytes in, what they say out; what the server says in, bytes out.
///
/// Keeps frames, field blocks, the state of streams and flow control in both directions. Pure; what becomes of bytes depends on the bytes, never
/// on how they were cut. Takes memory only for what a connection uses: an idle one has a table of fields, if its client filled one, and
/// nothing else.
///
/// The peer's violations: ``ConnectionFault`` and ``StreamFault``. Silently dropped: frames for streams that the server reset a while ago, or
/// that came behind the last one it serves; PRIORITY; unknown frames and settings. All of them are told of as they begin, so that they can be
/// counted. Our bug: something written for a stream that is gone or has its end; dropped.
public struct ServerConnection: Sendable {
    public struct Limits: Sendable {
        public var fields: FieldBlockLimits
        /// Streams at once, SETTINGS_MAX_CONCURRENT_STREAMS.
        public var concurrentStreams: Int
        /// Bytes, SETTINGS_INITIAL_WINDOW_SIZE.
        public var streamWindow: Int
        /// Bytes.
        public var connectionWindow: Int
        /// CONTINUATION frames of one block.
        public var continuations: Int
        /// DATA frames without data, in a row.
        public var emptyDataFrames: Int
        /// ``StreamFault``s in all.
        public var streamFaults: Int

        public init(
            fields: FieldBlockLimits, concurrentStreams: Int, streamWindow: Int, connectionWindow: Int,
            continuations: Int, emptyDataFrames: Int, streamFaults: Int
        ) {
            self.fields = fields
            self.concurrentStreams = concurrentStreams
            self.streamWindow = min(max(0, streamWindow), ServerConnection.greatestWindow)
            self.connectionWindow = min(max(0, connectionWindow), ServerConnection.greatestWindow)
            self.continuations = continuations
            self.emptyDataFrames = emptyDataFrames
            self.streamFaults = streamFaults
        }
    }

    public enum Event: Sendable {
        /// A stream is opened.
        case request(FieldBlock, on: HTTP2StreamID, endsStream: Bool)
        /// A section behind the content, which ends the request.
        case trailers(FieldBlock, on: HTTP2StreamID)
        /// Content, in as many parts as it came in.
        case data(ByteBuffer, on: HTTP2StreamID, endsStream: Bool)
        /// The client has reset a stream, which is gone.
        case reset(HTTP2StreamID, HTTP2ErrorCode)
        /// A stream was reset for what the client did, and is gone.
        case fault(StreamFault, on: HTTP2StreamID)
        /// The client knows our settings.
        case settingsAcknowledged
        /// The answer to a PING of ours.
        case pong(UInt64)
        /// What waits may go: ``sendNext()``.
        case windowOpened
    }

    /// What of a response was put into a frame.
    public struct Sent: Equatable, Sendable {
        public let id: HTTP2StreamID
        /// Bytes of content.
        public let count: Int
        /// The response has its end.
        public let ends: Bool
        /// So has the request: the stream is gone.
        public let isOver: Bool
    }

    enum Reading: Sendable {
        /// So many bytes of it are to come.
        case preface(left: Int)
        case frame
        /// So many bytes of DATA, and of padding behind it.
        case data(HTTP2StreamID, left: Int, padding: Int, endsStream: Bool)
        /// So many bytes that mean nothing.
        case skip(Int)
    }

    /// A block whose end has not come.
    struct OpenBlock: Sendable {
        let id: HTTP2StreamID
        let endsStream: Bool
        var bytes: ByteBuffer
        var continuations = 0
    }

    /// No window is ever larger (RFC 9113 §6.9.1).
    static let greatestWindow = 0x7FFF_FFFF
    private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    let limits: Limits

    // From the client.
    var decoder: FieldBlockDecoder
    /// Received, and not given out yet.
    var input = ByteBuffer()
    var reading = Reading.preface(left: ServerConnection.preface.utf8CodeUnitCount)
    /// The header at the front of `input` was told of, and checked.
    private var isChecked = false
    var block: OpenBlock?
    /// The first frame is SETTINGS, and has come.
    var hasSettings = false
    var client = ClientSettings()
    var emptyDataFrames = 0
    var streamFaults = 0
    /// The highest that a client has opened.
    public internal(set) var lastStream = HTTP2StreamID.connection
    /// Those above are dropped: the client was told so.
    var lastServed = HTTP2StreamID.highest
    var receive = ReceiveWindow()
    /// Streams that were reset before the client had ended them: what is on its way for them is no fault. The oldest gives way.
    var resetStreams: [HTTP2StreamID] = []
    var nextReset = 0
    /// The frame whose payload has not come whole.
    public private(set) var unfinished: FrameKind?

    // To the client.
    var hasBegun = false
    var streams: [StreamRecord] = []
    var output = FrameOutput()
    var sendWindow = ReceiveWindow.initial
    /// Streams that have something waiting.
    var waiting = 0
    /// The stream that had the last turn.
    var turn = HTTP2StreamID.connection
    var saysTableSize = false
    var settingsAreKnown = false

    public init(limits: Limits) {
        self.limits = limits
        self.decoder = FieldBlockDecoder(limits: limits.fields)
    }

    /// How many streams are open.
    public var streamCount: Int { self.streams.count }

    public func isOpen(_ id: HTTP2StreamID) -> Bool { self.streams.index(of: id) != nil }

    /// Gives back what only the next request needs.
    public mutating func releaseMemory() {
        self.decoder.releaseMemory()
        self.output.releaseMemory()
        if self.input.readableBytes == 0 { self.input = ByteBuffer() }
        if self.streams.isEmpty { self.streams = [] }
    }

    // MARK: Reading

    public mutating func receive(_ bytes: ByteBuffer) {
        if self.input.readableBytes == 0 {
            self.input = bytes
        } else {
            self.input.writeImmutableBuffer(bytes)
        }
    }

    /// The next event; nil if more bytes are needed. After a fault nothing further is to be asked; the GOAWAY is the caller's to write.
    ///
    /// - Parameter began: called for each frame that begins.
    public mutating func next(began: (FrameKind) -> Void) throws(ConnectionFault) -> Event? {
        while true {
            switch self.reading {
            case .frame:
                guard let header = FrameHeader(self.input, at: self.input.readerIndex) else {
                    self.keepRest()
                    return nil
                }
                if !self.isChecked {
                    self.unfinished = FrameKind(header)
                    began(FrameKind(header))
                    try self.check(header)
                    self.isChecked = true
                }
                if header.type == FrameHeader.data {
                    guard let event = try self.beginData(header) else {
                        self.keepRest()
                        return nil
                    }
                    self.isChecked = false
                    if case .some(let event) = event { return event }
                    continue
                }
                if header.type > FrameHeader.continuation {
                    // Unknown (RFC 9113 §5.5): not even kept until it is whole.
                    self.isChecked = false
                    self.input.moveReaderIndex(forwardBy: FrameHeader.count)
                    self.reading = .skip(header.length)
                    continue
                }
                guard self.input.readableBytes >= FrameHeader.count + header.length else {
                    self.keepRest()
                    return nil
                }
                self.isChecked = false
                self.unfinished = nil
                self.input.moveReaderIndex(forwardBy: FrameHeader.count)
                // It is there.
                let payload = self.input.readSlice(length: header.length) ?? ByteBuffer()
                if let event = try self.take(header, payload) { return event }
            case .data(let id, let left, let padding, let endsStream):
                if let event = self.continueData(id, left, padding, endsStream) { return event }
                guard case .data = self.reading else { continue }
                self.keepRest()
                return nil
            case .skip(let left):
                let count = min(left, self.input.readableBytes)
                self.input.moveReaderIndex(forwardBy: count)
                guard count == left else {
                    self.reading = .skip(left - count)
                    self.keepRest()
                    return nil
                }
                self.finishFrame()
            case .preface(let left):
                let expected = UnsafeBufferPointer(
                    start: Self.preface.utf8Start, count: Self.preface.utf8CodeUnitCount
                ).suffix(left)
                let count = min(left, self.input.readableBytes)
                guard self.input.readableBytesView.prefix(count).elementsEqual(expected.prefix(count)) else {
                    throw .badPreface
                }
                self.input.moveReaderIndex(forwardBy: count)
                guard count == left else {
                    self.reading = .preface(left: left - count)
                    self.keepRest()
                    return nil
                }
                self.reading = .frame
            }
        }
    }

    mutating func finishFrame() {
        self.reading = .frame
        self.unfinished = nil
    }

    /// A part of a frame is not to hold the memory of a whole read.
    private mutating func keepRest() {
        if self.input.readableBytes == 0 {
            self.input = ByteBuffer()
        } else if self.input.storageCapacity > 4 * (self.input.readableBytes + 64) {
            self.input = ByteBufferAllocator().buffer(buffer: self.input)
        }
    }
}
