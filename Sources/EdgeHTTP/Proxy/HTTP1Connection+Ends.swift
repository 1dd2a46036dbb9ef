import Channels
import HTTPForwarding
import HTTPWire
import NIOCore

/// How a connection of HTTP/1.1 ends, or becomes a tunnel.
extension HTTP1Connection {
    /// Closes when what is queued is on its way. A client that is still sending is heard out for a moment first: closing a
    /// socket with unread input resets it, and the answer would be lost.
    func close(lingering: Bool) {
        guard let context else { return }
        self.turn = .closing
        self.reader = RequestReader(limits: self.site.limits.wireLimits)
        self.toDrop = self.site.limits.lingerBytes
        let written = context.eventLoop.makePromise(of: Void.self)
        let channel = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        written.futureResult.whenComplete { _ in
            // That comes from within the socket's flush, where nothing else is written: close_notify would be lost.
            channel.eventLoop.execute {
                if lingering { bound.value.linger() } else { channel.close(promise: nil) }
            }
        }
        self.lastWrite = written
        self.writeQueued()
        if self.wait != .lingering { self.awaitReading(.now()) }
        self.readHeldBack()
    }

    func takeLastWrite() -> EventLoopPromise<Void>? {
        defer { self.lastWrite = nil }
        return self.lastWrite
    }

    private func linger() {
        guard let context else { return }
        // The client sees the end at once, and has a moment to see it.
        context.channel.close(mode: .output, promise: nil)
        self.wait = .lingering
        self.timer?.move(to: .now() + self.site.limits.lingerTime)
    }

    /// Closes in such a way that what was sent can't be taken for a whole response.
    func abort(_ exchange: ProxyExchange, outcome: String) {
        self.log.record(exchange, number: self.requests, outcome: outcome)
        guard let context else { return }
        self.turn = .closing
        AbruptClose.close(context)
    }

    func becomeTunnel(_ exchange: ProxyExchange, to origin: DetachedOrigin) {
        guard let context else { return origin.channel.close(promise: nil) }
        self.turn = .closed
        let (log, number) = (self.log, self.requests)
        Tunnel.begin(
            client: .init(
                channel: context.channel, handler: self, rest: self.reader.takeRest(), inputEnded: self.inputEnded),
            origin: .init(channel: origin.channel, handler: origin.handler, rest: origin.rest, inputEnded: false),
            idleTimeout: self.site.limits.tunnelIdleTimeout
        ) { bytes in
            log.record(exchange, number: number, outcome: "tunnel", bytes: bytes)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.gone()
        self.giveTimerBack()
        context.fireChannelInactive()
    }

    func giveTimerBack() {
        if let timer = self.timer.take() { self.client.giveBack(timer) }
    }

    private func gone() {
        if case .exchanging(let exchange) = self.turn {
            exchange.cancel()
            self.log.record(exchange, number: self.requests, outcome: "client-closed")
        }
        self.turn = .closed
        self.lastWrite?.succeed()
        self.lastWrite = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            // The client may still read: with TLS 1.3 close_notify ends one direction only (RFC 8446 §6.1).
            self.inputEnded = true
            self.take()
            if case .closing = self.turn, self.wait == .lingering { context.close(promise: nil) }
        }
        if event is ChannelShouldQuiesceEvent {
            self.isDraining = true
            // A client that has not asked for anything yet gets its answer.
            if case .waiting = self.turn, self.requests > 0 { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Everything that came was used, and nothing more will come: the end between two requests, or within one.
    func ranOut() {
        switch self.turn {
        // What was written before may still wait for the client.
        case .waiting: self.close(lingering: false)
        case .exchanging:
            self.gone()
            self.context?.close(promise: nil)
        case .closing, .closed: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// The client sent something that is not HTTP, at the place where the turn is.
    func inputFailed(_ failure: LocalResponse) {
        switch self.turn {
        case .exchanging(let exchange):
            exchange.answer(failure)
        case .waiting:
            self.log.record(nil, failure, number: self.requests + 1)
            self.write(failure, isHead: false, version: .http11, closing: true)
            self.close(lingering: true)
        case .closing, .closed:
            break
        }
    }
}
