import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Channels

@Suite struct AcceptHandlerTests {
    private struct Refused: Error {}

    private final class Echo: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(self.wrapOutboundOut(self.unwrapInboundIn(data)), promise: nil)
        }
    }

    /// Keeps the first bytes that come, or that none do.
    private final class Answer: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let promise: EventLoopPromise<String?>

        init(_ promise: EventLoopPromise<String?>) { self.promise = promise }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.promise.succeed(String(buffer: self.unwrapInboundIn(data)))
        }

        func channelInactive(context: ChannelHandlerContext) { self.promise.succeed(nil) }
    }

    private final class Count: Sendable {
        private let count = Mutex(0)
        var value: Int { self.count.withLock { $0 } }
        func up() -> Int {
            self.count.withLock {
                $0 += 1
                return $0
            }
        }
    }

    /// - Parameter children: of other loops than the listener's.
    private func listener(
        on group: MultiThreadedEventLoopGroup, children: (any EventLoopGroup)? = nil, byBootstrap: Count = Count(),
        _ setUp: @escaping @Sendable (any Channel) throws -> Void
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group, childGroup: children ?? group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptHandler(setUp))
                }
            }
            .childChannelInitializer { channel in
                _ = byBootstrap.up()
                return channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Echo()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private func ask(_ listener: any Channel, on group: MultiThreadedEventLoopGroup) async throws -> String? {
        let promise = group.next().makePromise(of: String?.self)
        let address = try #require(listener.localAddress)
        let client = try await ClientBootstrap(group: group)
            .channelInitializer { $0.pipeline.addHandler(Answer(promise)) }
            .connect(to: address).get()
        try? await client.writeAndFlush(ByteBuffer(string: "hello")).get()
        let answer = try await promise.futureResult.get()
        try? await client.close().get()
        return answer
    }

    @Test func aConnectionIsSetUpOnceAndServes() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let (count, other) = (Count(), Count())
        let listener = try await self.listener(on: group, byBootstrap: other) { channel in
            _ = count.up()
            try channel.pipeline.syncOperations.addHandler(Echo())
        }
        #expect(try await self.ask(listener, on: group) == "hello")
        #expect(try await self.ask(listener, on: group) == "hello")
        #expect(count.value == 2 && other.value == 0)
        try await listener.close().get()
        try await group.shutdownGracefully()
    }

    @Test func oneThatIsRefusedIsClosedAndTheNextIsServed() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let count = Count()
        let listener = try await self.listener(on: group) { channel in
            if count.up() == 1 { throw Refused() }
            try channel.pipeline.syncOperations.addHandler(Echo())
        }
        #expect(try await self.ask(listener, on: group) == nil)
        #expect(try await self.ask(listener, on: group) == "hello")
        try await listener.close().get()
        try await group.shutdownGracefully()
    }

    @Test func oneForAnotherLoopTakesTheBootstrapsWay() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let others = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let (count, other) = (Count(), Count())
        let listener = try await self.listener(on: group, children: others, byBootstrap: other) { _ in _ = count.up() }
        #expect(try await self.ask(listener, on: group) == "hello")
        #expect(count.value == 0 && other.value == 1)
        try await listener.close().get()
        try await group.shutdownGracefully()
        try await others.shutdownGracefully()
    }
}
