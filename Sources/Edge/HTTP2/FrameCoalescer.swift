import NIOCore

/// Below the HTTP/2 handler: puts the small writes of one flush together.
///
/// Each frame's header is a write of its own, and so is each response's head; TLS would make a record of each, with 22 bytes
/// and an encryption of its own. Large bodies go through without being copied.
final class FrameCoalescer: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = ByteBuffer

    /// From here on a copy costs more than a record.
    private static let copyLimit = 8192
    /// A TLS record holds no more.
    private static let flushSize = 16_384

    private var pending = ByteBuffer()
    private var hasPending = false
    private let keepsBuffer: Bool

    /// - Parameter keepsBuffer: the same memory is used again and again, until ``releaseBuffer()``.
    init(keepsBuffer: Bool = true) {
        self.keepsBuffer = keepsBuffer
    }

    /// Nothing is under way: idle connections are to be small.
    func releaseBuffer() {
        if !self.hasPending { self.pending = ByteBuffer() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .byteBuffer(var bytes) = self.unwrapOutboundIn(data) else {
            // HTTP/2 frames are never files.
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        if bytes.readableBytes >= Self.copyLimit {
            self.forward(context)
            context.write(self.wrapOutboundOut(bytes), promise: promise)
            return
        }
        if self.hasPending, self.pending.readableBytes + bytes.readableBytes > Self.flushSize { self.forward(context) }
        if !self.hasPending {
            self.pending.clear()
            self.hasPending = true
        }
        self.pending.writeBuffer(&bytes)
        if let promise { self.forward(context, promise) }
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
        let bytes = self.pending
        if !self.keepsBuffer { self.pending = ByteBuffer() }
        context.write(self.wrapOutboundOut(bytes), promise: promise)
    }
}
