internal import NIOCore
internal import NIOSSL
internal import NIOTLS

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Ends connections whose client shows a certificate that is not valid now. TLS looks at that in a whole handshake, and not where a
/// session is resumed, which may have begun while the certificate was valid.
///
/// Behind the TLS handler, and before all that reads what a client sends.
final class ClientTerm: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// Seconds since 1970.
    private let now: () -> time_t
    private var isLetIn = false

    init(now: @escaping () -> time_t = { time(nil) }) { self.now = now }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent {
            let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
            guard let peer = handler?.peerCertificate, Self.isValid(peer, at: self.now()) else {
                return context.close(promise: nil)
            }
            self.isLetIn = true
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What comes with the end of a handshake that is refused.
        guard self.isLetIn else { return }
        context.fireChannelRead(data)
    }

    private static func isValid(_ certificate: NIOSSLCertificate, at now: time_t) -> Bool {
        certificate.notValidBefore <= now && now <= certificate.notValidAfter
    }
}
