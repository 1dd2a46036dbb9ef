import EdgeModel
import HTTP2Wire
import NIOCore

/// How a connection ends, and what ends it: the client's faults and floods, the edge's own wish.
extension HTTP2Connection {
    func take(_ step: HTTP2Lifecycle.Step) {
        switch step {
        case .none:
            self.wake(at: self.lifecycle.deadline)
        case .announce:
            self.machine.goAway(.highest, .noError)
            self.machine.ping(Self.announcement)
            self.setNeedsFlush()
            self.wake(at: self.lifecycle.deadline)
        case .goAway(let last, let code):
            self.machine.goAway(last, code)
            self.setNeedsFlush()
        case .goAwayAndClose(let last, let code):
            self.machine.goAway(last, code)
            self.close(sendingAll: true)
        case .close:
            self.close(sendingAll: true)
        }
    }

    /// The client does what no honest client does.
    func fail(_ reason: String, _ code: HTTP2ErrorCode = .enhanceYourCalm) {
        guard !self.isClosing else { return }
        self.site.metrics.http2Refused(reason)
        self.machine.goAway(self.lifecycle.lastStream, code)
        self.close()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// Ends our side, hears the client out for a moment so that it gets to see why, then closes.
    ///
    /// - Parameter sendingAll: Whether a client that reads slowly has its time first to take what is written.
    private func close(sendingAll: Bool = false) {
        guard let context, !self.isClosing else { return }
        self.isClosing = true
        self.lifecycle.closed()
        if self.toDrop == nil { self.toDrop = self.limits.lingerBytes }
        self.endStreams("connection-closed")
        self.flush()
        guard sendingAll else {
            context.close(mode: .output, promise: nil)
            return self.linger()
        }
        self.nextWakeUp = .now() + self.limits.writeTimeout
        self.timer?.move(to: self.nextWakeUp)
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [weak self] _ in self?.linger() }
        context.close(mode: .output, promise: written)
    }

    private func linger() {
        self.nextWakeUp = .now() + self.limits.lingerTime
        self.timer?.move(to: self.nextWakeUp)
    }

    /// Another handler, or the server, ends the connection: what is written goes before.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        self.flush()
        context.close(mode: mode, promise: promise)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isClosing = true
        self.lifecycle.closed()
        self.endStreams("client-closed")
        self.giveTimerBack()
        context.fireChannelInactive()
    }

    func giveTimerBack() {
        if let timer = self.timer.take() { self.client.giveBack(timer) }
    }

    func endStreams(_ outcome: String) {
        let streams = self.streams
        self.streams = []
        self.starting.removeAll()
        for stream in streams { stream.closed(outcome) }
    }
}
