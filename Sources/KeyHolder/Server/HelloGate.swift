import NIOCore
import NIOSSL
import TLSWire

/// Sets up TLS when a whole ClientHello has come, and not before.
///
/// A TLS context of its own for each connection is what keeps sessions from resuming here (see ``PeerCredentials``), and
/// takes longer to make than anything a silent or plain TCP connection costs its sender. So the first bytes are read by the
/// bounded hello parser; what is no hello gets the alert that it deserves, and no context is ever made.
///
/// First in the pipeline, in the place of the TLS handler, which it puts there. Which inputs are whose:
/// - the peer's violations: bytes that are no ClientHello; the error goes on through the pipeline, to the handler that knows
///   how to end the connection;
/// - ours: credentials that make no context, the same way.
final class HelloGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// An edge's hello is far below this, post-quantum key shares included.
    private static let maximumBytes: Int = 16 * 1024

    private var reader = ClientHelloReader(maximumBytes: HelloGate.maximumBytes)
    private let makeContext: (ClientHello) throws -> NIOSSLContext
    private var isOver: Bool = false

    /// - Parameter makeContext: Called once at most, when the hello is there; it may still change the handlers behind this one.
    init(_ makeContext: @escaping (ClientHello) throws -> NIOSSLContext) {
        self.makeContext = makeContext
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        switch self.reader.receive(self.unwrapInboundIn(data)) {
        case .needMore: return
        case .hello(let hello): self.open(context, hello)
        case .reject(let rejection):
            self.isOver = true
            if let alert = rejection.alert {
                context.writeAndFlush(self.wrapOutboundOut(Alert(alert).record()), promise: nil)
            }
            context.fireErrorCaught(HelloGateError.rejected(rejection))
        }
    }

    private func open(_ context: ChannelHandlerContext, _ hello: ClientHello) {
        self.isOver = true
        do {
            let handler = NIOSSLServerHandler(context: try self.makeContext(hello))
            try context.pipeline.syncOperations.addHandler(handler, position: .after(self))
        } catch {
            return context.fireErrorCaught(error)
        }
        context.fireChannelRead(self.wrapInboundOut(self.reader.takeReceivedBytes()))
        context.fireChannelReadComplete()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}

/// Why a connection got no TLS.
enum HelloGateError: Error, CustomStringConvertible {
    case rejected(HelloRejection)

    var description: String {
        switch self {
        case .rejected(let rejection): rejection.description
        }
    }
}
