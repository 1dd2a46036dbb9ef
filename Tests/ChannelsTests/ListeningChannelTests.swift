import NIOCore
import NIOPosix
import Testing

@testable import Channels

@Suite struct ListeningChannelTests {
    /// No listener sets it on what it accepts, which costs two system calls for each connection: the system passes it on.
    @Test func acceptedConnectionsHaveNoDelayFromTheirListener() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let promise = group.next().makePromise(of: CInt.self)
        let listeners = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    promise.succeed(
                        try channel.syncOptions?.getOption(.tcpOption(.tcp_nodelay)) ?? 0)
                }
            }
            .listen(host: "127.0.0.1", port: 0, inherited: InheritedListeners())
        let listener = try #require(listeners.first)
        let client = try await ClientBootstrap(group: group).connect(to: try #require(listener.localAddress)).get()
        #expect(try await promise.futureResult.get() != 0)
        try await client.close().get()
        try await listener.close().get()
        try await group.shutdownGracefully()
    }
}
