import NIOCore
import NIOSSL

/// Where TLS to the client is spoken in a pipeline.
enum ServerTLS {
    /// What a handler of our own that speaks TLS is called there.
    static let handlerName = "latchstring.server-tls"
}

extension ChannelPipeline.SynchronousOperations {
    /// The handler that speaks TLS to the client, the TLS library's or our own; nil on a connection without TLS.
    var serverTLS: ChannelHandlerContext? {
        (try? self.context(handlerType: NIOSSLServerHandler.self)) ?? (try? self.context(name: ServerTLS.handlerName))
    }
}
