import NIOCore

/// Below the decoder of a connection to an origin: tells ``OriginConnection`` how much comes, whatever it is.
final class OriginInput: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connection: OriginConnection

    init(_ connection: OriginConnection) {
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.connection.receives(self.unwrapInboundIn(data).readableBytes) else { return }
        context.fireChannelRead(data)
        self.connection.hasTaken()
    }
}
