import NIOCore

/// One end of a spliced pair of channels: what it reads, the other end writes.
///
/// Both are on one event loop, with `autoRead` off: an end is read only while the other takes what is written to it. An end
/// of input becomes an end of output over there; a connection that breaks takes the other one with it, by a reset where the
/// protocol has no other way to say that data is missing.
final class SpliceHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let resets: Bool
    private var context: ChannelHandlerContext?
    private var partner: SpliceHandler?
    private var isReadingPaused = false
    private var inputEnded = false
    private var outputEnded = false
    private var broke = false

    /// - Parameter resets: Whether a break on the other side resets this one: for a plain TCP connection, where a close
    ///   would look like an end of data.
    init(resets: Bool) {
        self.resets = resets
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
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

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.partner?.context?.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
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

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed, !self.inputEnded else { return }
        self.inputEnded = true
        self.partner?.endOutput()
    }

    /// Says that no more comes, and closes once both directions have ended.
    private func endOutput() {
        guard !self.outputEnded, let context = self.context else { return }
        self.outputEnded = true
        context.close(mode: .output, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.broke = true
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard let partner = self.partner else { return }
        // A socket whose output has ended closes at the end of its input, and says no more than that it is closed.
        if !self.inputEnded, self.outputEnded, !self.broke {
            self.inputEnded = true
            partner.endOutput()
        }
        self.partner = nil
        partner.partner = nil
        guard let other = partner.context else { return }
        // With both directions ended, what was written over there still goes out.
        let isComplete: Bool = self.inputEnded && self.outputEnded && !self.broke
        if isComplete {
            let channel: any Channel = other.channel
            let written: EventLoopPromise<Void> = other.eventLoop.makePromise()
            written.futureResult.whenComplete { _ in channel.close(promise: nil) }
            other.writeAndFlush(partner.wrapOutboundOut(ByteBuffer()), promise: written)
        } else {
            partner.abort()
        }
    }

    private func abort() {
        guard let context = self.context else { return }
        if self.resets {
            // `struct linger` is two ints everywhere, on and seconds; its module is not ours to import by name.
            let onForZeroSeconds = unsafeBitCast((CInt(1), CInt(0)), to: NIOLinger.self)
            _ = (context.channel as? any SocketOptionProvider)?.setSoLinger(onForZeroSeconds)
        }
        context.close(promise: nil)
    }
}
