import NIOCore
import NIOTLS

/// Watches over a handshake from above the handler that speaks TLS, be it the TLS library's (`keyless`) or our own
/// (`handoff`): starts HTTP when it is done, reports it when it fails.
///
/// Peer's violation: whatever the handler below rejects; it has sent the alert already.
final class HandshakeSupervisor: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let timeout: TimeAmount
    private let outcome: (Outcome) -> Void
    private let established: (any Channel, _ applicationProtocol: String?) throws -> Void
    private var timer: Scheduled<Void>?
    private var done = false

    enum Outcome {
        case completed
        case failed(any Error)
        /// The client went away in the middle.
        case abandoned
    }

    init(
        timeout: TimeAmount, outcome: @escaping (Outcome) -> Void,
        established: @escaping (any Channel, String?) throws -> Void
    ) {
        self.timeout = timeout
        self.outcome = outcome
        self.established = established
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.timeout) {
            self.finish(.failed(HandshakeTimedOut()))
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.timer?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let applicationProtocol) = event as? TLSUserEvent, !self.done else {
            return context.fireUserInboundEventTriggered(event)
        }
        self.finish(.completed)
        do {
            try self.established(context.channel, applicationProtocol)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The TLS handler reports the key operation's failure first and closes the channel after the second error.
        self.finish(.failed(error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.finish(.abandoned)
        context.fireChannelInactive()
    }

    private func finish(_ outcome: Outcome) {
        guard !self.done else { return }
        self.done = true
        self.timer?.cancel()
        self.outcome(outcome)
    }
}

/// The client did not finish the handshake within `limits.handshake-timeout`.
struct HandshakeTimedOut: Error, CustomStringConvertible {
    var description: String { "the client did not finish the handshake in time" }
}
