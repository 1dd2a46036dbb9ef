import Channels
import NIOCore
import NIOSSL

/// Two connections that left HTTP, after 101: a pump between them, until both sides have ended, one breaks, or both are
/// silent for too long.
final class Tunnel: PumpOwner {
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

    private let rests: Int
    private var completion: ((Int) -> Void)?

    private init(rests: Int, completion: @escaping (Int) -> Void) {
        self.rests = rests
        self.completion = completion
    }

    /// Takes the HTTP handlers out of both pipelines and connects them. `completion` gets the number of bytes of both
    /// directions, once.
    static func begin(
        client: Side, origin: Side, idleTimeout: TimeAmount, completion: @escaping (Int) -> Void
    ) {
        let clientTLS = client.channel.pipeline.syncOperations.serverTLS != nil
        let originTLS =
            (try? origin.channel.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self)) != nil
        // What a side has to take what is left when the other one is gone. It is no more than the channel's buffer.
        let lastTime = min(idleTimeout, .seconds(60))
        let tunnel = Tunnel(
            rests: client.rest.readableBytes + origin.rest.readableBytes, completion: completion)
        let pump = Pump(
            client: self.traits(isTLS: clientTLS), origin: self.traits(isTLS: originTLS), idle: idleTimeout,
            lifetime: nil, drop: DropTime(patience: lastTime, linger: lastTime), on: client.channel.eventLoop,
            owner: tunnel)
        do {
            try pump.take(client: client.channel)
            try self.leaveHTTP(client, isTLS: clientTLS)
            try pump.take(origin: origin.channel)
            try self.leaveHTTP(origin, isTLS: originTLS)
        } catch {
            // One of the channels closed meanwhile.
            client.channel.close(promise: nil)
            origin.channel.close(promise: nil)
            return tunnel.over(0)
        }
        if client.rest.readableBytes > 0 { origin.channel.writeAndFlush(client.rest, promise: nil) }
        if origin.rest.readableBytes > 0 { client.channel.writeAndFlush(origin.rest, promise: nil) }
        pump.start(clientEnded: client.inputEnded)
    }

    private static func traits(isTLS: Bool) -> PumpTraits {
        var traits = PumpTraits()
        traits.isReset = !isTLS
        traits.closeEndsBoth = isTLS
        traits.mayLeave = !isTLS
        return traits
    }

    private static func leaveHTTP(_ side: Side, isTLS: Bool) throws {
        // With TLS a close_notify ends both directions, as nearly every peer means it.
        try side.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: !isTLS)
        try side.channel.syncOptions?.setOption(.autoRead, value: false)
        side.channel.pipeline.syncOperations.removeHandler(side.handler, promise: nil)
    }

    // MARK: What the pump tells

    func clientLeft() { self.over(0) }

    func moved(at now: NIODeadline) {}

    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {
        self.over(fromClient + fromOrigin)
    }

    private func over(_ bytes: Int) {
        let completion = self.completion
        self.completion = nil
        completion?(self.rests + bytes)
    }
}
