import ArgumentParser
import NIOCore
import NIOPosix

/// What relaying costs on swift-nio before anything of a relay is in it: two channels that hand each other what they read.
///
/// No server name is read, no client is counted or bounded, nothing is logged or timed, and an end of input closes both connections. It
/// has in common with `relay` mode what bytes on their way need: one event loop, one read after another, each when the other side takes it.
@main
struct RelayFloor: ParsableCommand {
    @Option(help: "The port on 127.0.0.1 to accept at.") var port: Int
    @Option(help: "The port on 127.0.0.1 to connect to.") var to: Int

    func run() throws {
        let target = try SocketAddress(ipAddress: "127.0.0.1", port: self.to)
        let listener = try ServerBootstrap(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { client in
                client.eventLoop.makeCompletedFuture {
                    try client.pipeline.syncOperations.addHandler(Half(connectingTo: target))
                }
            }
            .bind(host: "127.0.0.1", port: self.port).wait()
        try listener.closeFuture.wait()
    }
}

/// One of the two channels.
private final class Half: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// Of the client's channel.
    private let target: SocketAddress?
    private var other: Half?
    private var context: ChannelHandlerContext?
    private var readWaits = false

    init(connectingTo target: SocketAddress?) { self.target = target }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelActive(context: ChannelHandlerContext) {
        guard let target else { return }
        let channel = context.channel
        ClientBootstrap(group: context.eventLoop)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .connect(to: target)
            .assumeIsolated().whenComplete { result in
                guard case .success(let origin) = result, channel.isActive else { return channel.close(promise: nil) }
                let half = Half(connectingTo: nil)
                do { try origin.pipeline.syncOperations.addHandler(half) } catch { return channel.close(promise: nil) }
                (half.other, self.other) = (self, half)
                origin.read()
                channel.read()
            }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.other?.context?.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard let other = self.other?.context else { return }
        other.flush()
        if other.channel.isWritable { context.read() } else { self.readWaits = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable, let other, other.readWaits else { return }
        other.readWaits = false
        other.context?.read()
    }

    func channelInactive(context: ChannelHandlerContext) {
        let other = self.other
        (self.other, self.context) = (nil, nil)
        other?.other = nil
        other?.context?.close(promise: nil)
    }
}
