import Channels
package import NIOCore
import NIOSSL
import RecordLayer
import TLSWire

/// How the connection ends, from either side.
extension RecordHandler {
    // MARK: The client's end

    func inputEnded(_ end: Reception.End, _ context: ChannelHandlerContext) {
        if case .closing = self.state { return self.closeNow(context) }
        switch end {
        case .closed:
            // The data before it has its turn first.
            self.readComplete(context)
            self.closedByClient(context)
        case .alert(let code):
            self.end(.alert(code), context)
        case .failed(let error):
            self.readComplete(context)
            self.end(.records(error), context)
        }
    }

    private func closedByClient(_ context: ChannelHandlerContext) {
        switch self.state {
        case .open:
            let allowsHalfClosure =
                (try? context.channel.syncOptions?.getOption(.allowRemoteHalfClosure)) ?? false
            if allowsHalfClosure, self.session.canSend || self.hasEnded {
                self.state = .inputClosed
                context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            } else {
                self.sendCloseNotify(context)
                self.closeNow(context)
            }
        case .outputClosed: self.closeNow(context)
        case .inputClosed, .closing, .closed: break
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        switch self.state {
        // It said so before, and so did we.
        case .inputClosed: break
        case .closing: self.closeNow(context)
        case .closed: context.fireUserInboundEventTriggered(event)
        case .open, .outputClosed:
            if self.session.receiveEndOfInput() == .truncated { context.fireErrorCaught(NIOSSLError.uncleanShutdown) }
            context.fireUserInboundEventTriggered(event)
        }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        let oldState = self.state
        self.stopTimer()
        self.state = .closed
        self.failWrites(ChannelError.ioOnClosedChannel)
        self.closePromise?.succeed()
        self.closePromise = nil
        switch oldState {
        case .open, .outputClosed:
            if self.session.receiveEndOfInput() == .truncated { context.fireErrorCaught(NIOSSLError.uncleanShutdown) }
        case .inputClosed, .closing, .closed: break
        }
        context.fireChannelInactive()
    }

    // MARK: Our own end

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch (mode, self.state) {
        case (.input, _):
            promise?.fail(ChannelError.operationUnsupported)
        case (.output, .open):
            self.flushWrites(context)
            self.sendCloseNotify(context)
            self.state = .outputClosed
            context.close(mode: .output, promise: promise)
        case (.output, .inputClosed), (.all, .open), (.all, .inputClosed), (.all, .outputClosed):
            self.closePromise = promise
            self.failWrites(ChannelError.ioOnClosedChannel)
            self.sendCloseNotify(context)
            if case .inputClosed = self.state { return self.closeNow(context) }
            self.linger(context)
        case (_, .closing):
            if let promise {
                if let earlier = self.closePromise {
                    earlier.futureResult.cascade(to: promise)
                } else {
                    self.closePromise = promise
                }
            }
        case (_, .closed), (.output, .outputClosed):
            context.close(mode: mode, promise: promise)
        }
    }

    /// Ends the session; the client gets an alert, unless it has one already or sent one itself.
    func end(_ failure: TerminationFailure, _ context: ChannelHandlerContext) {
        if case .closing = self.state { return }
        self.failWrites(failure)
        switch failure {
        case .writeKeyExhausted: self.sendCloseNotify(context)
        default:
            if let description = failure.alert, let record = self.session.abort(description) {
                context.write(self.wrapOutboundOut(record), promise: nil)
            }
            context.flush()
        }
        self.hasUnflushedReply = false
        if case .alert = failure { self.state = .closed } else { self.linger(context) }
        self.onFault(failure)
        context.fireErrorCaught(failure)
        if case .alert = failure { self.closeNow(context) }
    }

    func sendCloseNotify(_ context: ChannelHandlerContext) {
        self.hasUnflushedReply = false
        if let record = self.session.close() {
            context.writeAndFlush(self.wrapOutboundOut(record), promise: nil)
        } else {
            context.flush()
        }
    }

    /// Closes our side, and the connection when the client has closed its own or had its time. A socket that is closed
    /// with unread input is reset, and what was sent before might not arrive.
    private func linger(_ context: ChannelHandlerContext) {
        self.stopTimer()
        let isOutputOpen: Bool
        if case .outputClosed = self.state { isOutputOpen = false } else { isOutputOpen = true }
        self.state = .closing(self.deadline(in: Self.closeTimeout, context) { self.closeNow(context) })
        if isOutputOpen, !self.endsWithFlush { context.close(mode: .output, promise: nil) }
        self.unsentReplies = 0
        self.readHeld = false
        self.readWanted = true
        context.read()
    }

    func closeNow(_ context: ChannelHandlerContext) {
        self.stopTimer()
        self.state = .closed
        let promise = self.closePromise
        self.closePromise = nil
        context.close(promise: promise)
    }

    private func deadline(
        in time: TimeAmount, _ context: ChannelHandlerContext, _ action: @escaping () -> Void
    ) -> LoopDeadlines.Deadline {
        (self.deadlines ?? LoopDeadlines(eventLoop: context.eventLoop)).set(in: time, action)
    }

    func stopTimer() {
        switch self.state {
        case .closing(let timer): timer.cancel()
        case .open, .inputClosed, .outputClosed, .closed: break
        }
    }
}
