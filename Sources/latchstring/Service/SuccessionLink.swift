import NIOCore
import NIOPosix

/// Lines of text between a process and the one that takes its place, over a pair of Unix sockets.
///
/// The successor asks `let-go`, which is answered with `let-go NAME NAME …`, the domains that are served now; then says
/// `ready N N …`, the numbers of the listeners that it took, answered with `yours` when it accepts there no more. `told` follows, when the service
/// manager knows who the service is. Then comes `purge` for each purge of its store,
/// answered with `purged` once the other has forgotten what it stores.
final class SuccessionLink: Sendable {
    private let channel: any Channel
    /// Ends with the other process.
    let lines: AsyncStream<String>

    /// - Parameter descriptor: this object's from now on.
    init(_ descriptor: CInt) async throws {
        let (lines, continuation) = AsyncStream<String>.makeStream()
        self.lines = lines
        self.channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Reader(continuation))
                }
            }
            .withConnectedSocket(descriptor).get()
    }

    /// Fails if the other process is gone.
    func send(_ line: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: line + "\n")).get()
    }

    func close() { self.channel.close(promise: nil) }

    private final class Reader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        /// Names of domains, tens of thousands of them.
        static let maximum = 16 << 20

        private let lines: AsyncStream<String>.Continuation
        private var held = ByteBuffer()

        init(_ lines: AsyncStream<String>.Continuation) { self.lines = lines }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = self.unwrapInboundIn(data)
            self.held.writeBuffer(&bytes)
            while let end = self.held.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
                let line = self.held.readString(length: end - self.held.readerIndex) ?? ""
                self.held.moveReaderIndex(forwardBy: 1)
                self.lines.yield(line)
            }
            if self.held.readableBytes > Self.maximum { context.close(promise: nil) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.lines.finish()
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
