import Channels
import EdgeHTTP
import EdgeTLS
import NIOCore
import TLSWire

/// The first handler of a connection without TLS: reads one request's head, and answers it or hands the connection over with all that
/// came. A client that takes longer than a hello may take is cut off.
final class PlainHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var request: PlainRequest
    private let limits: HelloLimits
    private let site: (ServerName) -> PlainSite?
    private let ask: (PlainChallenge) -> EventLoopFuture<String?>?
    private let challenge: (any Channel, PlainChallenge) -> Void
    private let answered: (PlainAnswer) -> Void
    /// Bytes that may come while the key holder is asked.
    private static let mostWaiting = 65_536
    /// For what takes over.
    private var seen = ByteBuffer()
    private var isDone = false
    private var isAsking = false
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - site: what is known of the site with a name; nil: there is none.
    ///   - ask: the key holder for the answer to an authority; nil: it is not asked.
    ///   - challenge: serves the request, whose bytes come next, with the origin of the name's site.
    ///   - answered: told of a request that goes no further.
    init(
        _ request: PlainRequest, limits: HelloLimits, site: @escaping (ServerName) -> PlainSite?,
        ask: @escaping (PlainChallenge) -> EventLoopFuture<String?>?,
        challenge: @escaping (any Channel, PlainChallenge) -> Void, answered: @escaping (PlainAnswer) -> Void
    ) {
        self.request = request
        self.limits = limits
        self.site = site
        self.ask = ask
        self.challenge = challenge
        self.answered = answered
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limits.timeout) {
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What follows a request that is answered is read and dropped by what lingers.
        if self.isDone, !self.isAsking { return context.fireChannelRead(data) }
        let bytes = self.unwrapInboundIn(data)
        self.seen.writeImmutableBuffer(bytes)
        if self.isAsking {
            if self.seen.readableBytes > Self.mostWaiting { context.close(promise: nil) }
            return
        }
        guard let verdict = self.request.receive(bytes, site: self.site) else { return }
        self.isDone = true
        let channel = context.channel
        guard case .challenge(let asked) = verdict, let answer = self.ask(asked) else {
            return self.giveWay(on: channel, to: verdict)
        }
        self.isAsking = true
        answer.assumeIsolated().whenComplete { result in
            self.isAsking = false
            // The timer, or the client, was faster.
            guard channel.isActive else { return }
            let text: String? = try? result.get()
            self.giveWay(
                on: channel, to: text.map { .answer(PlainRules.keyAuthorization($0, for: asked)) } ?? verdict)
        }
    }

    private func giveWay(on channel: any Channel, to verdict: PlainVerdict) {
        let (challenge, limits, seen) = (self.challenge, self.limits, self.seen)
        self.seen = ByteBuffer()
        let removed = channel.pipeline.syncOperations.removeHandler(self)
        if case .answer(let answer) = verdict { self.answered(answer) }
        removed.assumeIsolated().whenSuccess {
            switch verdict {
            case .answer(let answer):
                LingeringCloseHandler.begin(on: channel, sending: answer.bytes, limits: limits.linger)
            case .challenge(let asked):
                challenge(channel, asked)
                channel.pipeline.fireChannelRead(seen)
                channel.pipeline.fireChannelReadComplete()
            }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Nothing was asked yet, or not to its end.
        if event is ChannelShouldQuiesceEvent, self.seen.readableBytes == 0 { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
