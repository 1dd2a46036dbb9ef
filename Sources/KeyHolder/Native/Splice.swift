import NIOCore

/// One end of a spliced pair of channels: what it reads, the other end writes.
///
/// Both are on one event loop, with `autoRead` off: an end is read only while the other takes what is written to it.
///
/// - An end of input becomes an end of output over there, behind everything written before.
/// - When both directions have ended, a channel closes by itself, once what was written to it is sent.
/// - A connection that breaks in the middle takes the other one with it, by a reset where the protocol has no other way to
///   say that data is missing. One that had said everything before leaves the other to take that in peace.
final class SpliceHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Output {
        case open
        /// What was written before is on its way out; then comes the end.
        case ending
        case ended
    }

    /// How long an end whose other end is gone may still send what it has done all it was asked to take.
    private static let linger = TimeAmount.seconds(5)

    private let resets: Bool
    private let patience: TimeAmount
    private var context: ChannelHandlerContext?
    private var partner: SpliceHandler?
    private var isReadingPaused = false
    private var inputEnded = false
    private var output = Output.open
    private var broke = false
    /// The other end is gone: what arrives is dropped.
    private var isDropping = false
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - resets: Whether a break on the other side resets this one: for a plain TCP connection, where a close would look
    ///     like an end of data.
    ///   - patience: How long this end may take for what the other end left.
    init(resets: Bool, patience: TimeAmount) {
        self.resets = resets
        self.patience = patience
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.context = nil
        self.partner = nil
    }

    /// Ties the two ends together and begins to read both.
    static func begin(_ one: SpliceHandler, _ other: SpliceHandler) {
        one.partner = other
        other.partner = one
        one.context?.read()
        other.context?.read()
    }

    /// For an end whose other end is gone, after all its data and its end.
    func finish(_ data: ByteBuffer) {
        guard let context = self.context else { return }
        context.write(self.wrapOutboundOut(data), promise: nil)
        self.endOutput()
        self.leave()
    }

    // MARK: Data

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.partner?.context?.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.isDropping, !self.inputEnded { return context.read() }
        guard let partner = self.partner, let other = partner.context else { return }
        other.flush()
        guard !self.inputEnded else { return }
        if other.channel.isWritable {
            context.read()
        } else {
            self.isReadingPaused = true
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable, let partner = self.partner, partner.isReadingPaused else { return }
        partner.isReadingPaused = false
        partner.context?.read()
    }

    // MARK: Ends

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed, !self.inputEnded else { return }
        self.inputEnded = true
        self.partner?.endOutput()
    }

    /// Says that no more comes, once everything before is sent: a socket whose input has ended already closes for good at
    /// the end of its output, and drops what waits.
    private func endOutput() {
        guard case .open = self.output, let context = self.context else { return }
        self.output = .ending
        let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
        written.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success:
                self.output = .ended
                if self.isDropping { self.scheduleAbort(in: Self.linger) }
                self.context?.close(mode: .output, promise: nil)
            case .failure:
                self.broke = true
                self.context?.close(promise: nil)
                self.parted()
            }
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.broke = true
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        // A socket whose output has ended closes at the end of its input, and says no more than that it is closed.
        if !self.inputEnded, case .ended = self.output, !self.broke {
            self.inputEnded = true
            self.partner?.endOutput()
        }
        self.parted()
    }

    /// This end is gone.
    private func parted() {
        guard let partner = self.partner else { return }
        self.partner = nil
        partner.partner = nil
        if self.inputEnded { partner.leave() } else { partner.abort() }
    }

    /// The other end is gone, but had said everything: that still goes out, and what comes is dropped.
    private func leave() {
        self.isDropping = true
        if case .ended = self.output {
            self.scheduleAbort(in: Self.linger)
        } else {
            self.scheduleAbort(in: self.patience)
        }
        if !self.inputEnded { self.context?.read() }
    }

    private func scheduleAbort(in time: TimeAmount) {
        self.timer?.cancel()
        self.timer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: time) { self.abort() }
    }

    private func abort() {
        guard let context = self.context else { return }
        if self.resets { context.channel.resetWhenClosed() }
        context.close(promise: nil)
    }
}

extension Channel {
    /// Makes the next close a reset. Call it on the channel's event loop: there it takes effect at once.
    func resetWhenClosed() {
        // `struct linger` is two ints everywhere, on and seconds; its module is not ours to import by name.
        let onForZeroSeconds = unsafeBitCast((CInt(1), CInt(0)), to: NIOLinger.self)
        _ = (self as? any SocketOptionProvider)?.setSoLinger(onForZeroSeconds)
    }

    /// Closes so that the peer sees a reset: no end of data, but a connection that came to nothing.
    func reset() {
        self.resetWhenClosed()
        self.close(promise: nil)
    }
}
