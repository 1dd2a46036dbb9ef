package import NIOCore

/// Keeps what a client sends while it waits for its handshake to begin. Nothing is read then, but what came with the end of
/// the client's input comes all the same.
package final class HeldInput: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer

    /// Bytes of a client that are kept while its key holder works, or its turn is to come. What is read then is bounded by itself;
    /// more than this can only come with the end of the client's input.
    package static let maximumBytes = 262_144

    private var held = ByteBuffer()

    /// Adds the handler at the end of the pipeline. Throws if the channel is closed.
    package static func begin(on channel: any Channel) throws -> HeldInput {
        let handler = HeldInput()
        try channel.pipeline.syncOperations.addHandler(handler)
        return handler
    }

    /// Leaves the pipeline.
    ///
    /// - Returns: what the client has sent meanwhile.
    package func end(on channel: any Channel) -> ByteBuffer {
        channel.pipeline.syncOperations.removeHandler(self, promise: nil)
        return self.held
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.held.writeImmutableBuffer(self.unwrapInboundIn(data))
        if self.held.readableBytes > Self.maximumBytes { context.close(promise: nil) }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {}

    /// No handshake comes of what it has sent.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        context.close(promise: nil)
    }
}
