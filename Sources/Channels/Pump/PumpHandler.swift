public import NIOCore

/// How long a side stays whose other side is gone.
public struct DropTime: Equatable, Sendable {
    /// To take what the other side left.
    public var patience: TimeAmount
    /// From then on: it has been told that nothing more comes, and may still send.
    public var linger: TimeAmount

    public init(patience: TimeAmount, linger: TimeAmount) {
        self.patience = patience
        self.linger = linger
    }
}

/// One end of a pump: what it reads, it writes to the other end.
///
/// Nothing is copied, and nothing changes threads: both connections are on one event loop, and the buffer that the system
/// filled is the buffer that is written. A side is read only while the other takes what is written to it.
final class PumpHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let side: PumpSide
    private let isReset: Bool
    private let isPlain: Bool
    /// Its buffers are to grow once it is busy.
    private var mayGrow: Bool
    /// Since the last ``channelReadComplete(context:)``.
    private var bytesAtOnce = 0
    /// Broken when the connection ends.
    private var pump: Pump?
    private var context: ChannelHandlerContext?
    private var channel: (any Channel)?
    private var peer: PumpHandler?
    /// What arrived before there was another end.
    private var held: [ByteBuffer] = []
    private var inputEndHeld = false
    /// The next read waits until the other end takes more.
    private var isReadingPaused = false
    /// There is no other end any more: what arrives is dropped.
    private var dropping: DropTime?
    private var outputIsEnded = false
    private var dropTimer: Scheduled<Void>?
    private(set) var bytesReceived = 0

    init(side: PumpSide, traits: PumpTraits, pump: Pump?) {
        self.side = side
        self.isReset = traits.isReset
        self.isPlain = traits.isPlain
        self.mayGrow = traits.grows
        self.pump = pump
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.channel = context.channel
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.dropTimer?.cancel()
        self.context = nil
        self.channel = nil
        self.peer = nil
        self.pump = nil
    }

    func readAhead() { self.context?.read() }

    /// Connects this end to the other one, which takes what was held back, and starts reading.
    func start(to peer: PumpHandler, hasEnded: Bool = false) {
        self.peer = peer
        let held = self.held
        self.held = []
        for bytes in held { peer.write(bytes) }
        if !held.isEmpty { peer.context?.flush() }
        if self.inputEndHeld || hasEnded {
            self.pump?.inputEnded(self.side)
        } else {
            self.readNext()
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if self.dropping != nil { return }
        self.bytesReceived += bytes.readableBytes
        self.bytesAtOnce += bytes.readableBytes
        guard let peer else {
            self.held.append(bytes)
            return
        }
        peer.write(bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.dropping != nil { return context.read() }
        guard let peer else { return }
        peer.context?.flush()
        self.pump?.moved()
        if self.mayGrow, self.bytesAtOnce >= PumpBuffers.busyBytes { self.grow(with: peer) }
        self.bytesAtOnce = 0
        self.readNext()
    }

    /// What one side reads the other has to hold.
    private func grow(with peer: PumpHandler) {
        for side in [self, peer] where side.mayGrow {
            side.mayGrow = false
            if let channel = side.channel { try? PumpBuffers.apply(to: channel) }
        }
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

    func write(_ bytes: ByteBuffer) {
        self.context?.write(self.wrapOutboundOut(bytes), promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard let peer, context.channel.isWritable else { return }
        // A slow reader that takes what waits for it is not idle.
        self.pump?.moved()
        guard peer.isReadingPaused else { return }
        peer.isReadingPaused = false
        peer.context?.read()
    }

    // MARK: Ends

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event as? ChannelEvent {
        case .inputClosed:
            if self.peer == nil { self.inputEndHeld = true } else { self.pump?.inputEnded(self.side) }
        case .outputClosed:
            self.outputEnded()
        case nil:
            break
        }
    }

    private func outputEnded() {
        guard !self.outputIsEnded else { return }
        self.outputIsEnded = true
        if let dropping { self.scheduleEnd(of: dropping) }
        self.pump?.outputEnded(self.side)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.pump?.broke(self.side)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.dropTimer?.cancel()
        let pump = self.pump
        self.pump = nil
        pump?.closed(self.side)
    }

    /// Closes the output once everything before it is written: a socket whose input has ended already closes for good at the
    /// end of its output, and would drop what waits.
    func closeOutput() {
        // The system's word for it comes as an event of the channel.
        if let context = self.contextWithoutWrites { return context.close(mode: .output, promise: nil) }
        self.afterWrites { handler, context in
            let ended = context.eventLoop.makePromise(of: Void.self)
            ended.futureResult.assumeIsolated().whenSuccess { handler.outputEnded() }
            context.close(mode: .output, promise: ended)
        }
    }

    /// Closes the connection once everything written to it is sent: its output first, since a protocol above the socket that has a
    /// word for the end of its data says it only there.
    func finish() {
        if let context = self.contextWithoutWrites { return context.close(promise: nil) }
        self.afterWrites { _, context in
            let ended = context.eventLoop.makePromise(of: Void.self)
            ended.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
            context.close(mode: .output, promise: ended)
        }
    }

    /// The same, and at the latest then. Nothing of what it still says is read.
    func finish(within time: TimeAmount) {
        self.dropTimer?.cancel()
        self.dropTimer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: time) { self.breakOff() }
        self.peer = nil
        self.finish()
    }

    /// Of a plain connection to which nothing waits to be written.
    private var contextWithoutWrites: ChannelHandlerContext? {
        guard self.isPlain, let context, let options = context.channel.syncOptions,
            (try? options.getOption(.bufferedWritableBytes)) == 0
        else { return nil }
        return context
    }

    private func afterWrites(_ action: @escaping (PumpHandler, ChannelHandlerContext) -> Void) {
        guard let context else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in
            guard let context = self.context else { return }
            switch result {
            case .success: action(self, context)
            case .failure:
                self.pump?.broke(self.side)
                context.close(promise: nil)
            }
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    /// Closes the connection: with a reset, where its peer would take a close for an end.
    func breakOff() {
        if self.isReset { self.channel?.resetWhenClosed() }
        self.context?.close(promise: nil)
    }

    /// Reads on, and drops what arrives, for so long at most.
    func drop(for time: DropTime) {
        self.dropping = time
        self.scheduleEnd(of: time)
        self.context?.read()
    }

    private func scheduleEnd(of time: DropTime) {
        self.dropTimer?.cancel()
        let loop = self.context?.eventLoop.assumeIsolated()
        if self.outputIsEnded {
            // The peer has been sent everything, and may be reading it still.
            self.dropTimer = loop?.scheduleTask(in: time.linger) { self.close() }
        } else {
            self.dropTimer = loop?.scheduleTask(in: time.patience) { self.breakOff() }
        }
    }

    /// Leaves the pipeline to other handlers.
    func abandon() {
        guard let context else { return }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func close() {
        self.context?.close(promise: nil)
    }
}
