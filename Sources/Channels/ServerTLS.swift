public import NIOCore

/// Where TLS to the client is spoken in a pipeline.
public enum ServerTLS {
    /// What the handler that protects and opens the client's records is called there.
    public static let handlerName = "latchstring.server-tls"

    /// Outbound event: with the next flush the last bytes leave, and a close comes. So the goodbye can go along with them.
    public struct LastWrite: Sendable {
        public init() {}
    }
}

/// That handler, for the one right above it: most answers are one piece, which need not go through the pipeline.
public protocol PlaintextWriter: AnyObject {
    /// The same as a write without a promise, and a flush. On the channel's event loop.
    func writeAndFlush(_ bytes: ByteBuffer)
}

extension ChannelPipeline.SynchronousOperations {
    /// The handler that speaks TLS to the client; nil on a connection without TLS.
    public var serverTLS: ChannelHandlerContext? { try? self.context(name: ServerTLS.handlerName) }
}
