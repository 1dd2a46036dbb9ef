import NIOCore
import NIOSSL
import NIOTLS
import PeerLink

/// Mutual TLS with a key holder, on a connection that is there.
enum PeerHandshake {
    /// Shakes hands, and looks at who it is.
    ///
    /// - Parameter completion: called once, on the event loop, with what is wrong, or nil; reads are the caller's to ask for then.
    static func begin(
        on channel: any Channel, tls: NIOSSLContext, expected: PeerIdentity, deadline: NIODeadline,
        completion: @escaping (_ failure: String?) -> Void
    ) {
        do {
            try channel.pipeline.syncOperations.addHandlers([
                NIOSSLClientHandler(context: tls, serverHostname: nil),
                PeerHandshakeHandler(expected: expected, deadline: deadline, completion: completion),
            ])
            try channel.syncOptions?.setOption(.autoRead, value: true)
        } catch {
            completion("\(error)")
        }
    }
}

/// Waits for the TLS handshake with a key holder, looks at who it is, and leaves the pipeline.
private final class PeerHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let expected: PeerIdentity
    private let deadline: NIODeadline
    private var completion: ((_ failure: String?) -> Void)?
    private var timer: Scheduled<Void>?

    init(expected: PeerIdentity, deadline: NIODeadline, completion: @escaping (_ failure: String?) -> Void) {
        self.expected = expected
        self.deadline = deadline
        self.completion = completion
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: self.deadline) {
            self.fail("no TLS handshake in time", context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do throws(PeerIdentityError) {
            guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self) else {
                throw .noCertificate
            }
            let identity = try PeerIdentity(handler: handler)
            guard identity == self.expected else { throw .unexpected(expected: self.expected, got: identity) }
        } catch {
            return self.fail("\(error)", context)
        }
        let completion = self.completion
        self.completion = nil
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        completion?(nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail("\(error)", context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail("closed during the TLS handshake", context)
        context.fireChannelInactive()
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        guard let completion = self.completion else { return }
        self.completion = nil
        context.close(promise: nil)
        completion(reason)
    }
}
