public import NIOCore
public import NativeHandshake

/// Turns a connection on which a native handshake has ended into its stream: data in the clear above, records below.
///
/// - Data from the peer arrives as `ByteBuffer`; its end as `ChannelEvent.inputClosed`.
/// - `write` protects data. `close(mode: .output)` says that there is no more, and completes when all of it is on its
///   way, also when it is called again; the other direction goes on. When both directions have ended, the connection
///   closes.
/// - A ``NativeError`` comes as an error, after the alert has been sent where one is due, and before the connection closes.
///   So does the end of the connection before the peer's end of data: ``NativeError/truncated``.
/// - An event of an `IdleStateHandler` ends the stream with ``NativeError/timeout(_:)``.
///
/// Back-pressure is the channel's: reads pass through, and so does writability.
public final class NativeStreamHandler: ChannelDuplexHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundIn = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    private var session: NativeSession
    private var reader: NativeFrameReader
    /// Failed or closed: what arrives is dropped.
    private var isOver = false
    /// When the end of this side's data, and everything before it, is on its way.
    private var endWritten: EventLoopFuture<Void>?

    /// - Parameter role: This side's.
    public init(session: NativeSession, role: NativeRole) {
        self.session = session
        self.reader = NativeFrameReader(from: role == .client ? .origin : .client)
    }

    // MARK: From the peer

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        self.reader.receive(self.unwrapInboundIn(data))
        do throws(NativeError) {
            while !self.isOver, let frame = try self.reader.next() {
                switch try self.session.receive(frame) {
                case .data(let bytes): context.fireChannelRead(self.wrapInboundOut(bytes))
                case .end: self.inputEnded(context)
                }
            }
        } catch {
            self.fail(error, context)
        }
    }

    private func inputEnded(_ context: ChannelHandlerContext) {
        // A reader that gathers data until the end of a burst has it all before the end.
        context.fireChannelReadComplete()
        context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        if self.session.hasEnded { self.finish(context) }
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            // Over, but for what the peer does not take.
            if self.isOver { return context.close(promise: nil) }
            return self.fail(.timeout("the stream was silent for too long"), context)
        }
        // The transport's own end of input is no end of data.
        if let event = event as? ChannelEvent, event == .inputClosed { return self.connectionEnded(context) }
        context.fireUserInboundEventTriggered(event)
    }

    public func channelInactive(context: ChannelHandlerContext) {
        self.connectionEnded(context)
        context.fireChannelInactive()
    }

    private func connectionEnded(_ context: ChannelHandlerContext) {
        guard !self.isOver else { return }
        do throws(NativeError) {
            try self.session.inputEnded()
        } catch {
            self.fail(error, context)
        }
    }

    /// Sends the alert that the error calls for, and closes.
    private func fail(_ error: NativeError, _ context: ChannelHandlerContext) {
        self.isOver = true
        var written: EventLoopFuture<Void>?
        if context.channel.isActive, let alert = error.alert, let record = self.session.fail(alert) {
            let promise: EventLoopPromise<Void> = context.eventLoop.makePromise()
            written = promise.futureResult
            context.writeAndFlush(self.wrapOutboundOut(record), promise: promise)
        }
        // Before the close: the reader would take the end of the connection for the end of the data.
        context.fireErrorCaught(error)
        guard let written else { return context.close(promise: nil) }
        let channel: any Channel = context.channel
        let bound: Scheduled<Void> = context.eventLoop.scheduleTask(in: Self.alertTime) { channel.close(promise: nil) }
        written.whenComplete { _ in
            bound.cancel()
            channel.close(promise: nil)
        }
    }

    /// For an alert to leave, when the peer does not read.
    private static let alertTime = TimeAmount.seconds(5)

    // MARK: To the peer

    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.isOver else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        do throws(NativeError) {
            let output: ByteBuffer = try self.session.send(self.unwrapOutboundIn(data))
            context.write(self.wrapOutboundOut(output), promise: promise)
        } catch {
            promise?.fail(error)
        }
    }

    public func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .output, !self.isOver else {
            self.isOver = true
            context.close(mode: .all, promise: promise)
            return
        }
        do throws(NativeError) {
            if let end = try self.session.end() {
                let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
                self.endWritten = written.futureResult
                context.writeAndFlush(self.wrapOutboundOut(end), promise: written)
            } else {
                self.endWritten?.cascade(to: promise)
                return
            }
            self.endWritten?.cascade(to: promise)
            context.fireUserInboundEventTriggered(ChannelEvent.outputClosed)
            if self.session.peerHasEnded { self.finish(context) }
        } catch {
            promise?.fail(error)
        }
    }

    /// Both directions have ended.
    private func finish(_ context: ChannelHandlerContext) {
        self.isOver = true
        self.close(context, after: ByteBuffer())
    }

    /// Closes when everything written is on its way: a close drops what still waits.
    private func close(_ context: ChannelHandlerContext, after last: ByteBuffer) {
        let channel: any Channel = context.channel
        let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(last), promise: written)
    }
}
