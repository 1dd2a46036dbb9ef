import NIOCore

/// Shows a HandshakeObserver everything that passes between socket and TLS library.
final class WireObserver: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var observer = HandshakeObserver()
    private let journal: Journal

    init(journal: Journal) {
        self.journal = journal
    }

    func channelActive(context: ChannelHandlerContext) {
        let address: String = context.remoteAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"
        journal.note(.connected(address: address))
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        for event: WireEvent in observer.received(unwrapInboundIn(data)) { journal.note(.wire(event)) }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        for event: WireEvent in observer.sent(unwrapOutboundIn(data)) { journal.note(.wire(event)) }
        context.write(data, promise: promise)
    }
}
