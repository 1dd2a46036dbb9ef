import NIOCore
import NIOSSL

extension ChannelPipeline.SynchronousOperations {
    /// The handler that speaks TLS to the client, the TLS library's or our own; nil on a connection without TLS.
    var serverTLS: ChannelHandlerContext? {
        (try? self.context(handlerType: NIOSSLServerHandler.self))
            ?? (try? self.context(handlerType: HandoffRecordHandler.self))
    }
}
