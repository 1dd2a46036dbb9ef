import HTTP2Wire
import HTTPFields
import NIOCore

/// Below the HTTP/2 library: field blocks go past it, both ways, and the small writes of one flush go together.
///
/// Each frame's header is a write of its own, and so is each response's head; TLS would make a record of each, with 22 bytes and an
/// encryption of its own. Large bodies go through without being copied.
final class HTTP2FrameHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = ByteBuffer

    /// From here on a copy costs more than a record.
    private static let copyLimit = 8192
    /// A TLS record holds no more.
    private static let flushSize = 16_384
    /// A small response, with its head.
    private static let usualFlush = 1536

    weak var connection: HTTP2Connection?
    private var incoming: ClientFrames
    private var outgoing = ServerFrames()
    /// The section of the HEADERS frame that the library is reading.
    private(set) var section: FieldBlock?
    private var pending = ByteBuffer()
    /// What was made of a small stored body last.
    private var body = ByteBuffer()
    private var hasPending = false
    /// The library holds on to the memory of what it gets first.
    private var isFirst = true
    /// How many bytes are still to be dropped; nil: what comes is of interest.
    private var toDrop: Int?

    init(_ limits: ProxyLimits) {
        self.incoming = ClientFrames(
            limits: FieldBlockLimits(sectionBytes: limits.maximumHeadBytes, fields: limits.maximumFields),
            maximumContinuations: limits.http2.continuationFrames)
    }

    /// The block of the HEADERS frame that the library is about to write.
    func sends(_ block: ByteBuffer?) { self.outgoing.block = block }

    /// Memory for a block: what the block before it took, if that is written.
    func takeBlockMemory() -> ByteBuffer { self.outgoing.takeSpare() }

    /// A small body as the library takes it. The memory is used again as soon as the one before is written.
    func buffer(of bytes: KeptBytes) -> ByteBuffer {
        self.body.clear(minimumCapacity: bytes.count)
        bytes.withBytes { _ = self.body.writeBytes($0) }
        return self.body
    }

    /// Nothing is under way: idle connections are to be small.
    func releaseMemory() {
        if !self.hasPending { self.pending = ByteBuffer() }
        self.incoming.releaseMemory()
        _ = self.outgoing.takeSpare()
        self.body = ByteBuffer()
    }

    // MARK: From the client

    /// What the client still sends is of no interest. So much of it is read, so that it gets to see the end; the rest stays in
    /// its socket.
    func drop(upTo bytes: Int) {
        if self.toDrop == nil { self.toDrop = bytes }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if let toDrop {
            self.toDrop = toDrop - bytes.readableBytes
            return
        }
        guard let connection else { return }
        self.incoming.receive(bytes)
        do throws(ClientFrameFault) {
            while self.toDrop == nil, let event = try self.incoming.next(began: { connection.began($0) }) {
                switch event {
                case .bytes(let bytes):
                    context.fireChannelRead(self.wrapInboundOut(self.isFirst ? self.small(bytes) : bytes))
                case .section(let section, let frame):
                    self.section = section
                    context.fireChannelRead(self.wrapInboundOut(frame))
                    self.section = nil
                }
            }
        } catch {
            connection.fail(error)
        }
        connection.hasTaken(unfinished: self.incoming.current)
    }

    private func small(_ bytes: ByteBuffer) -> ByteBuffer {
        self.isFirst = false
        return ByteBufferAllocator().buffer(buffer: bytes)
    }

    func read(context: ChannelHandlerContext) {
        if let toDrop, toDrop <= 0 { return }
        context.read()
    }

    // MARK: To the client

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .byteBuffer(let bytes) = self.unwrapOutboundIn(data) else {
            // HTTP/2 frames are never files.
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        let isLarge = bytes.readableBytes >= Self.copyLimit
        if !isLarge || !self.outgoing.isPayload {
            self.begin(context, bytes.readableBytes + (self.outgoing.block?.readableBytes ?? 0))
        }
        do {
            if let bytes = try self.outgoing.write(bytes, self.incoming.settings, to: &self.pending) {
                if isLarge {
                    self.forward(context)
                    context.write(self.wrapOutboundOut(bytes), promise: promise)
                    return
                }
                self.pending.writeImmutableBuffer(bytes)
            }
            if let promise { self.forward(context, promise) }
        } catch {
            promise?.fail(error)
            self.connection?.outOfStep()
        }
    }

    /// Makes room for so many bytes.
    private func begin(_ context: ChannelHandlerContext, _ count: Int) {
        if self.hasPending, self.pending.readableBytes + count > Self.flushSize { self.forward(context) }
        guard !self.hasPending else { return }
        self.pending.clear()
        if self.outgoing.block != nil { self.pending.reserveCapacity(Self.usualFlush) }
        self.hasPending = true
    }

    func flush(context: ChannelHandlerContext) {
        self.forward(context)
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        self.forward(context)
        context.flush()
        context.close(mode: mode, promise: promise)
    }

    private func forward(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>? = nil) {
        guard self.hasPending else { return }
        self.hasPending = false
        guard self.pending.readableBytes > 0 || promise != nil else { return }
        context.write(self.wrapOutboundOut(self.pending), promise: promise)
    }
}
