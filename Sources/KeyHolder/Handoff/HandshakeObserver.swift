import NIOCore
import NIOSSL
import NIOTLS

/// Sits behind the TLS handler of a handshake and keeps what it says.
///
/// Silently dropped: application data. No edge that keeps to the protocol carries any here.
final class HandshakeObserver: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never

    private(set) var isCompleted: Bool = false
    /// Known once the handshake is completed.
    private(set) var applicationProtocol: String?
    /// The first error, which is the cause of any others.
    private(set) var failure: HandoffFailure?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else { return }
        self.isCompleted = true
        self.applicationProtocol = negotiated.flatMap { $0.isEmpty ? nil : $0 }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard self.failure == nil else { return }
        self.failure = error as? HandoffFailure ?? .tls(Self.text(error))
    }

    /// The library's own word for the reason, without the places in its source.
    private static func text(_ error: any Error) -> String {
        guard case .handshakeFailed(.sslError(let stack))? = error as? NIOSSLError, let first = stack.first,
            let reason: Substring = "\(first)".split(separator: "OPENSSL_internal:").last
        else { return String("\(error)".prefix(200)) }
        let words: String = reason.prefix { $0 != " " }.lowercased().replacing("_", with: " ")
        return String("TLS handshake failed: \(words)".prefix(200))
    }
}
