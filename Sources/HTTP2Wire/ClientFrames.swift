public import NIOCore

/// Why the frames of a client cannot be read on: a connection error (RFC 9113 §5.4.1).
public enum ClientFrameFault: Error, Equatable, Sendable {
    /// `COMPRESSION_ERROR`.
    case compression(CompressionFault)
    /// `PROTOCOL_ERROR`: a header block with another frame in it, or with padding longer than its frame (§6.2, §6.10).
    case brokenBlock
    /// `FRAME_SIZE_ERROR` (§4.2).
    case frameTooLarge
    /// `ENHANCE_YOUR_CALM`: a block of more frames than the limit.
    case tooManyContinuations
    /// `ENHANCE_YOUR_CALM`: a block that decodes to several times what a section may have.
    case sectionTooLarge
    /// `ENHANCE_YOUR_CALM`: SETTINGS with more entries than there are settings, many times over.
    case tooManySettings

    /// Constant text for logs and metrics.
    public var reason: String {
        switch self {
        case .compression, .brokenBlock, .frameTooLarge: "protocol-error"
        case .tooManyContinuations: "continuation-flood"
        case .sectionTooLarge: "head-flood"
        case .tooManySettings: "settings-flood"
        }
    }
}

/// What a client announced that concerns frames of ours (RFC 9113 §6.5.2).
public struct ClientFrameSettings: Equatable, Sendable {
    /// SETTINGS_MAX_FRAME_SIZE.
    public internal(set) var maximumFrameSize = 16_384
    /// SETTINGS_HEADER_TABLE_SIZE was below its default at some time: the next block has to say that the table is smaller.
    public internal(set) var hasSmallTable = false
}

/// Between a client's bytes and a library that reads HTTP/2 frames: takes the field blocks out and decodes them, and passes everything
/// else on byte for byte. Pure; the result depends on the bytes, never on how they were cut.
///
/// In the place of a header section the library gets one HEADERS frame with an empty block, so that it can keep the state of the stream. It
/// judges all other frames, and finds what is wrong with them.
public struct ClientFrames: Sendable {
    public enum Kind: Equatable, Sendable {
        case data, continuation
        /// RST_STREAM.
        case reset
        /// PING, SETTINGS and PRIORITY.
        case control
        case other

        init(_ header: FrameHeader) {
            self =
                switch header.type {
                case FrameHeader.data: .data
                case FrameHeader.continuation: .continuation
                case FrameHeader.reset: .reset
                case FrameHeader.ping, FrameHeader.settings, FrameHeader.priorityFrame: .control
                default: .other
                }
        }
    }

    public enum Event: Sendable {
        /// For the library: whole frames, or parts of them.
        case bytes(ByteBuffer)
        /// A section, and the frame that takes its place.
        case section(FieldBlock, frame: ByteBuffer)
    }

    /// A block whose end has not come.
    private struct Open: Sendable {
        var header: FrameHeader
        var priority: ByteBuffer?
        var block: ByteBuffer
        var continuations = 0
    }

    private static let prefaceLength = 24
    /// What we let clients send: the default (RFC 9113 §4.2).
    private static let maximumFrameSize = 16_384
    private static let maximumSettings = 64

    private var decoder: FieldBlockDecoder
    private let maximumContinuations: Int
    /// Received, and not given out yet.
    private var input = ByteBuffer()
    /// Bytes from the front of `input` on that belong to a frame which is passed on.
    private var passing = ClientFrames.prefaceLength
    /// The header at the front of `input` was counted.
    private var isCounted = false
    private var open: Open?
    private var substitute = ByteBuffer()
    public private(set) var settings = ClientFrameSettings()
    /// The frame whose payload has not come whole.
    public private(set) var current: Kind?

    public init(limits: FieldBlockLimits, maximumContinuations: Int) {
        self.decoder = FieldBlockDecoder(limits: limits)
        self.maximumContinuations = maximumContinuations
    }

    /// Gives back what only the next frame needs.
    public mutating func releaseMemory() {
        self.decoder.releaseMemory()
        if self.input.readableBytes == 0 { self.input = ByteBuffer() }
        self.substitute = ByteBuffer()
    }

    public mutating func receive(_ bytes: ByteBuffer) {
        if self.input.readableBytes == 0 {
            self.input = bytes
        } else {
            self.input.writeImmutableBuffer(bytes)
        }
    }

    /// The next event; nil if more bytes are needed. After a fault nothing further is to be asked.
    ///
    /// - Parameter began: called for each frame that begins.
    public mutating func next(began: (Kind) -> Void) throws(ClientFrameFault) -> Event? {
        let before = self.input
        let start = before.readerIndex
        while true {
            if self.passing > 0 {
                let count = min(self.passing, self.input.readableBytes)
                self.passing -= count
                self.input.moveReaderIndex(forwardBy: count)
                if self.passing > 0 || self.input.readableBytes == 0 { break }
            }
            self.current = nil
            guard let header = FrameHeader(self.input, at: self.input.readerIndex) else { break }
            let isSettings = header.type == FrameHeader.settings && header.flags & FrameHeader.acknowledgement == 0
            let isPassedOn = self.open == nil && !isSettings && header.type != FrameHeader.headers
            // What came before goes first.
            if !isPassedOn, self.input.readerIndex > start { break }
            self.current = Kind(header)
            if !self.isCounted {
                do throws(ClientFrameFault) {
                    try self.check(header)
                } catch {
                    // What came before goes first here, too.
                    if self.input.readerIndex > start { break }
                    began(Kind(header))
                    throw error
                }
                self.isCounted = true
                began(Kind(header))
            }
            if isPassedOn {
                self.isCounted = false
                self.passing = FrameHeader.count + header.length
                continue
            }
            guard self.input.readableBytes >= FrameHeader.count + header.length else { break }
            self.isCounted = false
            self.current = nil
            if isSettings {
                self.observeSettings(header)
                self.passing = FrameHeader.count + header.length
                continue
            }
            self.input.moveReaderIndex(forwardBy: FrameHeader.count)
            // It is there.
            let payload = self.input.readSlice(length: header.length) ?? ByteBuffer()
            if let event = try self.take(header, payload) { return event }
            return try self.next(began: began)
        }
        let count = self.input.readerIndex - start
        guard count > 0 else {
            self.keepRest()
            return nil
        }
        return before.getSlice(at: start, length: count).map { .bytes($0) }
    }

    /// A part of a frame is not to hold the memory of a whole read.
    private mutating func keepRest() {
        if self.input.readableBytes == 0 {
            self.input = ByteBuffer()
        } else if self.input.storageCapacity > 4 * (self.input.readableBytes + 64) {
            self.input = ByteBufferAllocator().buffer(buffer: self.input)
        }
    }

    /// What has to be known before a frame is waited for.
    private func check(_ header: FrameHeader) throws(ClientFrameFault) {
        if let open {
            guard header.type == FrameHeader.continuation, header.stream == open.header.stream else {
                throw .brokenBlock
            }
            guard header.length <= Self.maximumFrameSize else { throw .frameTooLarge }
            guard open.continuations < self.maximumContinuations else { throw .tooManyContinuations }
        } else if header.type == FrameHeader.headers {
            guard header.length <= Self.maximumFrameSize else { throw .frameTooLarge }
        } else if header.type == FrameHeader.settings {
            guard header.length <= 6 * Self.maximumSettings else { throw .tooManySettings }
        }
    }

    private mutating func take(_ header: FrameHeader, _ payload: ByteBuffer) throws(ClientFrameFault) -> Event? {
        var payload = payload
        var open: Open
        if var before = self.open {
            self.open = nil
            before.block.writeImmutableBuffer(payload)
            before.continuations += 1
            open = before
        } else {
            if header.flags & FrameHeader.padded != 0 {
                guard let padding = payload.readInteger(as: UInt8.self), Int(padding) <= payload.readableBytes else {
                    throw .brokenBlock
                }
                payload.moveWriterIndex(to: payload.writerIndex - Int(padding))
            }
            var priority: ByteBuffer?
            if header.flags & FrameHeader.priority != 0 {
                guard let bytes = payload.readSlice(length: 5) else { throw .brokenBlock }
                priority = bytes
            }
            open = Open(header: header, priority: priority, block: payload)
        }
        guard header.flags & FrameHeader.endHeaders != 0 else {
            // A part of a block is not to hold the memory of a whole read, either.
            if open.continuations == 0 { open.block = ByteBufferAllocator().buffer(buffer: open.block) }
            self.open = open
            return nil
        }
        let section: FieldBlock
        do throws(FieldBlockFault) {
            section = try self.decoder.decode(open.block)
        } catch {
            switch error {
            case .compression(let fault): throw .compression(fault)
            case .tooLarge: throw .sectionTooLarge
            }
        }
        return .section(section, frame: self.frame(in: open))
    }

    private mutating func frame(in open: Open) -> ByteBuffer {
        var header = open.header
        header.flags &= FrameHeader.endStream | FrameHeader.priority
        header.flags |= FrameHeader.endHeaders
        header.length = open.priority?.readableBytes ?? 0
        self.substitute.clear()
        header.write(to: &self.substitute)
        if let priority = open.priority { self.substitute.writeImmutableBuffer(priority) }
        return self.substitute
    }

    private mutating func observeSettings(_ header: FrameHeader) {
        guard header.stream == 0 else { return }
        var index = self.input.readerIndex + FrameHeader.count
        let end = index + header.length
        while index + 6 <= end {
            guard let parameter = self.input.getInteger(at: index, as: UInt16.self),
                let value = self.input.getInteger(at: index + 2, as: UInt32.self)
            else { return }
            index += 6
            switch parameter {
            case 0x1: if value < 4096 { self.settings.hasSmallTable = true }
            // Others are the library's to refuse.
            case 0x5: if 16_384...16_777_215 ~= value { self.settings.maximumFrameSize = Int(value) }
            default: break
            }
        }
    }
}
