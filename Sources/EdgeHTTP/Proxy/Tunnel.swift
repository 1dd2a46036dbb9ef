import Channels
import NIOCore
import NIOSSL

/// Two connections that left HTTP, after 101: bytes go both ways until both sides have ended, one breaks, or both are
/// silent for too long.
final class Tunnel {
    private let ends: (client: TunnelHandler, origin: TunnelHandler)
    private var timer: ProxyTimer?
    private let idleTimeout: TimeAmount
    private var completion: ((Int) -> Void)?
    private var bytes = 0

    /// One side, as HTTP left it.
    struct Side {
        let channel: any Channel
        /// What spoke HTTP; it leaves the pipeline.
        let handler: any RemovableChannelHandler
        /// What came behind the head that ended HTTP.
        let rest: ByteBuffer
        /// The peer will send nothing more.
        let inputEnded: Bool
    }

    /// Takes the HTTP handlers out of both pipelines and connects them. `completion` gets the number of bytes of both
    /// directions, once.
    static func begin(
        client: Side, origin: Side, idleTimeout: TimeAmount, completion: @escaping (Int) -> Void
    ) {
        let tunnel = Tunnel(eventLoop: client.channel.eventLoop, idleTimeout: idleTimeout, completion: completion)
        do {
            try tunnel.ends.origin.takeOver(origin) { try? $0.context(handlerType: NIOSSLClientHandler.self) }
            try tunnel.ends.client.takeOver(client) { $0.serverTLS }
        } catch {
            // One of the channels closed meanwhile.
            client.channel.close(promise: nil)
            origin.channel.close(promise: nil)
            return tunnel.over()
        }
        tunnel.ends.origin.received(origin.rest)
        tunnel.ends.client.received(client.rest)
        if client.inputEnded { tunnel.ends.client.inputHasEnded() }
        // Reads that the HTTP handlers held back are due now.
        origin.channel.read()
        client.channel.read()
    }

    private init(eventLoop: any EventLoop, idleTimeout: TimeAmount, completion: @escaping (Int) -> Void) {
        self.ends = (TunnelHandler(), TunnelHandler())
        self.idleTimeout = idleTimeout
        self.completion = completion
        self.ends.client.peer = self.ends.origin
        self.ends.origin.peer = self.ends.client
        self.ends.client.tunnel = self
        self.ends.origin.tunnel = self
        let timer = ProxyTimer(eventLoop: eventLoop) { [weak self] in self?.closeAll() }
        self.timer = timer
        timer.move(to: .now() + idleTimeout)
    }

    func moved(_ count: Int) {
        self.bytes += count
        self.timer?.move(to: .now() + self.idleTimeout)
    }

    func closeAll() {
        self.ends.client.close()
        self.ends.origin.close()
        self.over()
    }

    func endedIfBothDid() {
        if self.ends.client.inputEnded, self.ends.origin.inputEnded {
            self.ends.client.closeWhenWritten(within: self.lastTime)
            self.ends.origin.closeWhenWritten(within: self.lastTime)
            self.over()
        }
    }

    /// What a side has to take what is left, when both have ended or the other one is gone. What it has to take is no more than
    /// the channel's buffer.
    fileprivate var lastTime: TimeAmount { min(self.idleTimeout, .seconds(60)) }

    fileprivate func over() {
        self.timer?.cancel()
        self.timer = nil
        let completion = self.completion
        self.completion = nil
        completion?(self.bytes)
        self.ends.client.tunnel = nil
        self.ends.origin.tunnel = nil
    }
}

/// One end of a tunnel. A side is read only while the other takes what is written to it.
final class TunnelHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    fileprivate var peer: TunnelHandler?
    fileprivate var tunnel: Tunnel?
    fileprivate private(set) var inputEnded = false
    private var context: ChannelHandlerContext?
    private var readHeld = false

    fileprivate func takeOver(
        _ side: Tunnel.Side, tls: (ChannelPipeline.SynchronousOperations) -> ChannelHandlerContext?
    ) throws {
        let pipeline = side.channel.pipeline.syncOperations
        // With TLS a close_notify ends both directions, as nearly every peer means it.
        let usesTLS = tls(pipeline) != nil
        try side.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: !usesTLS)
        try pipeline.addHandler(self)
        pipeline.removeHandler(side.handler, promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.peer = nil
        self.tunnel = nil
    }

    private var isWritable: Bool { self.context?.channel.isWritable ?? true }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received(self.unwrapInboundIn(data))
    }

    fileprivate func received(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        self.tunnel?.moved(bytes.readableBytes)
        guard let peer, let out = peer.context else { return }
        out.writeAndFlush(peer.wrapOutboundOut(bytes), promise: nil)
    }

    func read(context: ChannelHandlerContext) {
        if self.peer?.isWritable ?? true { context.read() } else { self.readHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable, let peer, peer.readHeld else { return }
        self.tunnel?.moved(0)
        peer.readHeld = false
        peer.context?.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { self.inputHasEnded() }
    }

    fileprivate func inputHasEnded() {
        self.inputEnded = true
        let peer = self.peer
        self.tunnel?.endedIfBothDid()
        if self.tunnel != nil { peer?.closeOutput() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.tunnel?.closeAll()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.inputEnded = true
        let peer = self.peer
        let time = self.tunnel?.lastTime
        // The other end gets what is still to be written, and is closed.
        self.tunnel?.over()
        if let time { peer?.closeWhenWritten(within: time) }
    }

    private func closeOutput() {
        guard let context else { return }
        let channel = context.channel
        let closed = context.eventLoop.makePromise(of: Void.self)
        // Where only both directions can be closed, the other one goes too.
        closed.futureResult.whenFailure { _ in channel.close(promise: nil) }
        let written = context.eventLoop.makePromise(of: Void.self)
        // Behind the flush that it comes from: see `HTTP1Connection`.
        written.futureResult.whenComplete { _ in
            channel.eventLoop.execute { channel.close(mode: .output, promise: closed) }
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    /// A peer that takes nothing has so much time: no timer is left that would look after it.
    fileprivate func closeWhenWritten(within time: TimeAmount) {
        guard let context else { return }
        let channel = context.channel
        let timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { channel.close(promise: nil) }
        channel.closeFuture.assumeIsolated().whenComplete { _ in timer.cancel() }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in channel.eventLoop.execute { channel.close(promise: nil) } }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
    }

    fileprivate func close() {
        self.context?.close(promise: nil)
    }
}
