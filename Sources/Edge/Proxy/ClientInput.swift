import NIOCore

/// Below the codec of a client's connection: shows what comes, and drops it once the connection is at its end.
final class ClientInput: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData

    /// Sees the bytes before the codec does, and hears when it has worked them off.
    weak var observer: (any ClientInputObserver)?
    /// How many bytes are still to be dropped; nil: what comes is of interest.
    private var toDrop: Int?

    /// What the client still sends is of no interest. So much of it is read, so that it gets to see the end; the rest stays in
    /// its socket.
    func drop(upTo bytes: Int) {
        if self.toDrop == nil { self.toDrop = bytes }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if let toDrop {
            self.toDrop = toDrop - bytes.readableBytes
            return
        }
        guard let observer else { return context.fireChannelRead(data) }
        observer.willTake(bytes)
        context.fireChannelRead(data)
        observer.hasTaken()
    }

    func read(context: ChannelHandlerContext) {
        if let toDrop, toDrop <= 0 { return }
        context.read()
    }
}

protocol ClientInputObserver: AnyObject {
    func willTake(_ bytes: ByteBuffer)
    func hasTaken()
}
