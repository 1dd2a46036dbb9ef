import NIOCore
import NIOSSL
import NIOTLS
import StreamWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Waits for the TLS handshake with a key holder, looks at who it is and whether it knows streams, and leaves the pipeline.
final class StreamLinkVerifier: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    enum Outcome {
        /// It is the key holder, and speaks the protocol of streams; the end of its identity, in seconds since 1970.
        case speaks(notAfter: Int64)
        /// It is the key holder, and does not.
        case speaksNot(String)
        /// It has not proved to be the key holder.
        case stranger(String)
    }

    private let expected: PeerIdentity
    private let time: TimeAmount
    private var completion: ((Outcome) -> Void)?
    private var timer: Scheduled<Void>?

    init(expected: PeerIdentity, time: TimeAmount, completion: @escaping (Outcome) -> Void) {
        self.expected = expected
        self.time = time
        self.completion = completion
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.time) {
            self.finish(.stranger("no TLS handshake in time"))
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.timer?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let protocolName)? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        let notAfter: Int64
        do throws(PeerIdentityError) {
            notAfter = try self.identify(context)
        } catch {
            return self.finish(.stranger("\(error)"))
        }
        guard protocolName == StreamFrame.protocolName else {
            return self.finish(
                .speaksNot(
                    "the key holder does not take native streams (\(StreamFrame.protocolName)) there: it is older than this edge (upgrade the key holder), or that is its port for the key protocol"
                ))
        }
        self.finish(.speaks(notAfter: notAfter))
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    /// - Returns: the end of the key holder's identity, in seconds since 1970.
    private func identify(_ context: ChannelHandlerContext) throws(PeerIdentityError) -> Int64 {
        guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self) else {
            throw .noCertificate
        }
        let certificate = try PeerIdentity.certificate(handler: handler)
        let identity = try PeerIdentity(certificate: certificate)
        guard identity == self.expected else { throw .unexpected(expected: self.expected, got: identity) }
        return Int64(certificate.notValidAfter.timeIntervalSince1970)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.finish(.stranger(LinkProblem.text(error)))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.finish(.stranger("closed during the TLS handshake"))
        context.fireChannelInactive()
    }

    private func finish(_ outcome: Outcome) {
        guard let completion = self.completion else { return }
        self.completion = nil
        self.timer?.cancel()
        completion(outcome)
    }
}
