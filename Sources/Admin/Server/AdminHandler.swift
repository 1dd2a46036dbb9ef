internal import NIOCore
internal import NIOHTTP1

/// Answers the requests of one connection to the admin port, one after the other.
///
/// A connection ends when it does not complete a request within `timeout` (idle time counts), or after
/// `maximumRequests`, which with the byte limit before the decoder bounds what one client can hold.
final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let router: AdminRouter
    private let timeout: TimeAmount
    private let maximumRequests: Int
    private let admit: (any Channel) -> Void
    private var isAdmitted = false
    private var head: HTTPRequestHead?
    /// Bounded by the limit of bytes per connection.
    private var body = ByteBuffer()
    private var requests = 0
    private var deadline: Scheduled<Void>?

    /// - Parameter admit: told once, when the client has begun a request that it may make.
    init(
        router: AdminRouter, timeout: TimeAmount, maximumRequests: Int,
        admit: @escaping (any Channel) -> Void = { _ in }
    ) {
        self.admit = admit
        self.router = router
        self.timeout = timeout
        self.maximumRequests = maximumRequests
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.startDeadline(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.deadline?.cancel()
        self.deadline = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            self.body.clear()
            if !self.isAdmitted, self.router.refusal(head) == nil {
                self.isAdmitted = true
                self.admit(context.channel)
            }
        case .body(let bytes): self.body.writeImmutableBuffer(bytes)
        case .end:
            guard let head = self.head else { return }
            self.head = nil
            self.requests += 1
            let closes = !head.isKeepAlive || self.requests >= self.maximumRequests
            let router = self.router
            let body = String(buffer: self.body)
            let answer = context.eventLoop.makeFutureWithTask { await router.answer(to: head, body: body) }
            // Pipelined requests wait: the pipelining handler holds them until this one is answered.
            answer.assumeIsolated().whenSuccess { answer in
                self.write(answer, head: head, closes: closes, context: context)
            }
        }
    }

    private func write(
        _ answer: AdminRouter.Answer, head: HTTPRequestHead, closes: Bool, context: ChannelHandlerContext
    ) {
        guard context.channel.isActive else { return }
        let body = ByteBuffer(string: answer.body)
        var headers = HTTPHeaders([
            ("content-type", answer.contentType), ("content-length", String(body.readableBytes)),
            ("cache-control", "no-store"), ("x-content-type-options", "nosniff"),
        ])
        if let allow = answer.allow { headers.add(name: "allow", value: allow) }
        if answer.status == .unauthorized {
            headers.add(name: "www-authenticate", value: "Bearer realm=\"latchstring\"")
            headers.add(name: "www-authenticate", value: "Basic realm=\"latchstring\", charset=\"UTF-8\"")
        }
        if answer.isPage {
            headers.add(
                name: "content-security-policy",
                value:
                    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
            headers.add(name: "referrer-policy", value: "no-referrer")
            headers.add(name: "x-frame-options", value: "DENY")
        }
        if closes { headers.add(name: "connection", value: "close") }
        context.write(
            self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers))),
            promise: nil)
        if head.method != .HEAD { context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        let written = context.writeAndFlush(self.wrapOutboundOut(.end(nil)))
        if closes {
            written.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        } else {
            self.startDeadline(context)
        }
    }

    private func startDeadline(_ context: ChannelHandlerContext) {
        self.deadline?.cancel()
        self.deadline = context.eventLoop.assumeIsolated().scheduleTask(in: self.timeout) {
            context.close(promise: nil)
        }
    }
}

/// Closes a connection that has sent more than it may, whatever it sent.
final class ByteLimitHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var remaining: Int

    init(maximumBytes: Int) {
        self.remaining = maximumBytes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.remaining -= self.unwrapInboundIn(data).readableBytes
        if self.remaining < 0 {
            context.close(promise: nil)
        } else {
            context.fireChannelRead(data)
        }
    }
}
