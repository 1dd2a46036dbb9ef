public import NIOCore

/// Sets accepted connections up, each in one step. Behind the ``AcceptGate`` of a server channel; lives on its event loop.
///
/// `ServerBootstrap` has a handler of its own for it, which makes some ten blocks of memory for the futures between a connection's
/// options, its initializer and its registration, none of which waits for anything here. So what this handler has set up goes past
/// that one, to where the server channel registers connections. A connection for another event loop takes the bootstrap's way.
public final class AcceptHandler: ChannelInboundHandler {
    public typealias InboundIn = any Channel

    private let setUp: (any Channel) throws -> Void

    /// - Parameter setUp: adds the connection's handlers, before it is registered. What it throws closes the connection, and is an error
    ///   of the server channel.
    public init(_ setUp: @escaping (any Channel) throws -> Void) { self.setUp = setUp }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let accepted = self.unwrapInboundIn(data)
        guard accepted.eventLoop === context.eventLoop else { return context.fireChannelRead(data) }
        do {
            try self.setUp(accepted)
            // What is set up may close the listener.
            guard context.channel.isActive else { throw ChannelError.ioOnClosedChannel }
            context.channel._channelCore.channelRead0(data)
        } catch {
            accepted.close(promise: nil)
            context.fireErrorCaught(error)
        }
    }
}
