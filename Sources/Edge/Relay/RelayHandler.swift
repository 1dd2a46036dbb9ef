import NIOCore

/// What two handlers tell of their connections.
protocol RelayParty: AnyObject {
    /// Bytes moved.
    func active()
    func inputEnded(_ side: RelaySide)
    func outputEnded(_ side: RelaySide)
    func broke(_ side: RelaySide)
    func closed(_ side: RelaySide)
}

/// One end of a relayed connection: what it reads, it writes to the other end.
///
/// Nothing is copied, and nothing changes threads: both connections are on one event loop, and the buffer that the system
/// filled is the buffer that is written. A side is read only while the other takes what is written to it.
final class RelayHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let side: RelaySide
    /// Broken when the connection ends.
    private var session: (any RelayParty)?
    private var context: ChannelHandlerContext?
    private var channel: (any Channel)?
    private var peer: RelayHandler?
    /// What arrived before there was another end.
    private var held: [ByteBuffer] = []
    private var inputEndHeld = false
    /// The next read waits until the other end takes more.
    private var isReadingPaused = false
    /// There is no other end any more: what arrives is dropped.
    private var isDropping = false
    private(set) var bytesReceived = 0

    init(side: RelaySide, session: any RelayParty) {
        self.side = side
        self.session = session
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.channel = context.channel
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.channel = nil
        self.peer = nil
        self.session = nil
    }

    /// Connects this end to the other one, which takes what was held back, and starts reading.
    func start(to peer: RelayHandler) {
        self.peer = peer
        let held = self.held
        self.held = []
        for bytes in held { peer.write(bytes) }
        if !held.isEmpty { peer.context?.flush() }
        if self.inputEndHeld {
            self.session?.inputEnded(self.side)
        } else {
            self.readNext()
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if self.isDropping { return }
        self.bytesReceived += bytes.readableBytes
        guard let peer else {
            self.held.append(bytes)
            return
        }
        peer.write(bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.isDropping { return context.read() }
        guard let peer else { return }
        peer.context?.flush()
        self.session?.active()
        self.readNext()
    }

    private func readNext() {
        guard let peer, let context else { return }
        if peer.channel?.isWritable == true {
            context.read()
        } else {
            self.isReadingPaused = true
        }
    }

    // MARK: Writing

    private func write(_ bytes: ByteBuffer) {
        self.context?.write(self.wrapOutboundOut(bytes), promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard let peer, context.channel.isWritable else { return }
        // A slow reader that takes what waits for it is not idle.
        self.session?.active()
        guard peer.isReadingPaused else { return }
        peer.isReadingPaused = false
        peer.context?.read()
    }

    // MARK: Ends

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event as? ChannelEvent {
        case .inputClosed:
            if self.peer == nil { self.inputEndHeld = true } else { self.session?.inputEnded(self.side) }
        case .outputClosed:
            self.session?.outputEnded(self.side)
        case nil:
            break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.session?.broke(self.side)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let session = self.session
        self.session = nil
        session?.closed(self.side)
    }

    /// Closes the output once everything before it is written.
    func closeOutput() {
        self.context?.close(mode: .output, promise: nil)
    }

    /// Closes the connection once everything written to it is sent.
    func finish() {
        guard let context, let channel else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    /// Closes the connection so that the peer sees a reset, not an end.
    func reset() {
        // `struct linger` is two ints everywhere, on and seconds; its module is not ours to import by name.
        let onForZeroSeconds = unsafeBitCast((CInt(1), CInt(0)), to: NIOLinger.self)
        // Takes effect at once, since this is the channel's event loop.
        _ = (self.channel as? any SocketOptionProvider)?.setSoLinger(onForZeroSeconds)
        self.context?.close(promise: nil)
    }

    /// Reads on, and drops what arrives.
    func drop() {
        self.isDropping = true
        self.context?.read()
    }

    /// Leaves the pipeline to somebody else.
    func abandon() {
        guard let context else { return }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func close() {
        self.context?.close(promise: nil)
    }
}
