import NIOCore
import NativeHandshake
import Synchronization

/// One attempt at a native connection, until it is established: who can end it from outside, at any point.
///
/// It holds each TCP connection from the moment it is tried, so that a cancel or the deadline ends a connect as well.
final class NativeAttempt: Sendable {
    private struct State {
        var channels: [any Channel] = []
        var isOver = false
    }

    let outcome: EventLoopPromise<NativeConnection>
    private let state = Mutex(State())

    init(on eventLoop: any EventLoop) {
        self.outcome = eventLoop.makePromise()
    }

    /// A TCP connection is tried. False: too late, do without.
    func tries(_ channel: any Channel) -> Bool {
        self.state.withLock { state in
            if !state.isOver { state.channels.append(channel) }
            return !state.isOver
        }
    }

    var isOver: Bool { self.state.withLock { $0.isOver } }

    /// No caller waits for it any more.
    func end(_ error: any Error) {
        let channels: [any Channel] = self.state.withLock { state in
            state.isOver = true
            defer { state.channels = [] }
            return state.channels
        }
        self.outcome.fail(error)
        for channel in channels { channel.close(promise: nil) }
    }
}

/// Keeps why a stream broke, for those who only learn that the connection is closed.
final class NativeFault: Sendable {
    private let first = Mutex<NativeError?>(nil)

    var error: NativeError? { self.first.withLock { $0 } }

    func note(_ error: any Error) {
        guard let error = error as? NativeError else { return }
        self.first.withLock { if $0 == nil { $0 = error } }
    }
}

/// Stands between the stream and who reads it: notes errors, and at the end takes what is not read any more.
final class NativeStreamEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let fault: NativeFault
    private var context: ChannelHandlerContext?
    private var isDraining = false
    private var hasEnded = false
    private var drained: EventLoopPromise<Void>?

    init(fault: NativeFault) {
        self.fault = fault
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.ended()
        self.context = nil
    }

    /// Reads and drops until the origin's end of data, or that of the time: a connection that is closed with data still to
    /// be read is reset, and what was sent may be lost with it.
    func drain(for time: TimeAmount, on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        guard !self.hasEnded, let context = self.context else { return eventLoop.makeSucceededVoidFuture() }
        let promise: EventLoopPromise<Void> = self.drained ?? eventLoop.makePromise()
        self.drained = promise
        self.isDraining = true
        let timer: Scheduled<Void> = eventLoop.assumeIsolated().scheduleTask(in: time) { self.ended() }
        promise.futureResult.whenComplete { _ in timer.cancel() }
        context.read()
        return promise.futureResult
    }

    private func ended() {
        self.hasEnded = true
        self.drained?.succeed()
        self.drained = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !self.isDraining { context.fireChannelRead(data) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.isDraining, !self.hasEnded { return context.read() }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { self.ended() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fault.note(error)
        self.ended()
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.ended()
        context.fireChannelInactive()
    }
}
