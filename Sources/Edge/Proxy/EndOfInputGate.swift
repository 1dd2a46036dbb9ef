import NIOCore

/// Holds the end of input back until the HTTP decoder behind it has left and handed over what it held.
///
/// Bytes that follow a 101 may be read together with the end of input. NIO's decoder passes such bytes on when it is
/// removed, unless it has heard of the end before: then they would be lost.
final class EndOfInputGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var context: ChannelHandlerContext?
    private var isHeld = false

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            self.isHeld = true
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// The decoder has left.
    func open() {
        guard let context else { return }
        if self.isHeld { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
