import NIOCore
import NIOPosix
import Testing

@testable import Channels

@Suite struct ListenerOptionsTests {
    /// No listener sets it on what it accepts, which costs two system calls for each connection: the system passes it on.
    @Test func acceptedConnectionsHaveNoDelayFromTheirListener() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let promise = group.next().makePromise(of: SocketOptionValue.self)
        let listeners = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let value = try channel.syncOptions?.getOption(ChannelOptions.tcpOption(.tcp_nodelay))
                    promise.succeed(value ?? 0)
                }
            }
            .listen(host: "127.0.0.1", port: 0, inherited: InheritedListeners())
        let listener = try #require(listeners.first)
        let address = try #require(listener.localAddress)
        let client = try await ClientBootstrap(group: group).connect(to: address).get()
        #expect(try await promise.futureResult.get() != 0)
        try await client.close().get()
        try await listener.close().get()
        try await group.shutdownGracefully()
    }
}
