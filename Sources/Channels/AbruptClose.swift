public import NIOCore

/// Closes a connection without the signs of an orderly end: with TLS no close_notify, without TLS a reset.
public enum AbruptClose {
    /// Without waiting for the peer's close_notify: everything was said, and the peer had its time.
    public static func closeSocket(_ context: ChannelHandlerContext) {
        (context.pipeline.syncOperations.serverTLS ?? context).close(promise: nil)
    }

    public static func close(_ context: ChannelHandlerContext) {
        if let tls = context.pipeline.syncOperations.serverTLS {
            // From below the TLS handler, which does not hear of it.
            tls.close(promise: nil)
        } else {
            context.channel.resetWhenClosed()
            context.close(promise: nil)
        }
    }
}
