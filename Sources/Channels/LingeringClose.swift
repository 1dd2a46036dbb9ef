public import NIOCore

/// Bounds on a client after it was refused.
public struct LingerLimits: Sendable {
    /// How long its close is waited for after the last message.
    public var time: TimeAmount = .seconds(2)
    /// How many more of its bytes are read, and dropped, before the connection is closed.
    public var bytes = 262_144

    public init() {}
}

/// Sends a last message, such as an alert, and closes so that it arrives.
///
/// Closing a socket with unread input makes the system send a reset, which can overtake, and erase, what was sent before.
/// So this closes the output only, then reads and drops what the client still sends, for a bounded time and number of
/// bytes, until the client closes.
public final class LingeringCloseHandler: ChannelInboundHandler {
    public typealias InboundIn = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    private let message: ByteBuffer
    private let limit: TimeAmount
    private var bytesLeft: Int
    private var timer: Scheduled<Void>?

    /// Adds the handler at the end of the pipeline and starts. Call on the channel's event loop; the handlers before it
    /// must pass reads on.
    public static func begin(on channel: any Channel, sending message: ByteBuffer, limits: LingerLimits) {
        do {
            try channel.syncOptions?.setOption(.autoRead, value: false)
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
            try channel.pipeline.syncOperations.addHandler(
                LingeringCloseHandler(sending: message, limit: limits.time, bytes: limits.bytes))
        } catch {
            // The channel is closed already.
            channel.close(promise: nil)
        }
    }

    init(sending message: ByteBuffer, limit: TimeAmount, bytes: Int) {
        self.message = message
        self.limit = limit
        self.bytesLeft = bytes
    }

    public func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limit) {
            channel.close(promise: nil)
        }
        // NIO turns the closing of the output into a full close, which drops what waits to be written, if the input is
        // closed already. So the message goes first.
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in channel.close(mode: .output, promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(self.message), promise: written)
        context.read()
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.bytesLeft -= self.unwrapInboundIn(data).readableBytes
        if self.bytesLeft < 0 { context.close(promise: nil) }
    }

    public func channelReadComplete(context: ChannelHandlerContext) {
        if self.bytesLeft >= 0 { context.read() }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
        context.fireChannelInactive()
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
