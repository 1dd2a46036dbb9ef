import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Channels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct ListenEnvironmentTests {
    private func read(_ variables: [String: String]) throws(InheritanceError) -> ListenEnvironment {
        try ListenEnvironment(process: 42) { variables[$0] }
    }

    @Test("Nothing is passed where nothing is said")
    func nothing() throws {
        #expect(try self.read([:]).count == 0)
        #expect(try self.read(["LISTEN_PID": "7"]).count == 0)
        #expect(try self.read(["LISTEN_FDS": "0", "LISTEN_PID": "42"]).count == 0)
    }

    @Test("Descriptors have the names of the unit, or none")
    func names() throws {
        let named = try self.read(["LISTEN_FDS": "2", "LISTEN_PID": "42", "LISTEN_FDNAMES": "tls:admin"])
        #expect(named.names == ["tls", "admin"])
        #expect(try self.read(["LISTEN_FDS": "2", "LISTEN_PID": "42"]).names == ["unknown", "unknown"])
    }

    @Test(
        "What is meant for another process, or cannot be, is refused",
        arguments: [
            (["LISTEN_FDS": "99999", "LISTEN_PID": "42"], InheritanceError.count("99999")),
            (["LISTEN_FDS": "-1", "LISTEN_PID": "42"], .count("-1")),
            (["LISTEN_FDS": "one", "LISTEN_PID": "42"], .count("one")),
            (["LISTEN_FDS": "1", "LISTEN_PID": "43"], .process("43")),
            (["LISTEN_FDS": "1"], .process("")),
            (["LISTEN_FDS": "1", "LISTEN_PID": "42", "LISTEN_FDNAMES": "a:b"], .names(2, descriptors: 1)),
        ] as [([String: String], InheritanceError)])
    func refused(variables: [String: String], error: InheritanceError) {
        #expect(throws: error) { try self.read(variables) }
    }
}

@Suite struct ListeningChannelTests {
    private final class Count: ChannelInboundHandler, Sendable {
        typealias InboundIn = any Channel
        let value = Atomic(0)

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.value.add(1, ordering: .relaxed)
            context.fireChannelRead(data)
        }
    }

    @Test("A listener is closed when what waits in its queue has been accepted")
    func emptied() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let count = Count()
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(count) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let address = try #require(listener.localAddress)
        var clients: [any Channel] = []
        for _ in 0..<3 { clients.append(try await ClientBootstrap(group: group).connect(to: address).get()) }
        async let closed: Void = ListeningChannel.closeWhenEmpty(listener, within: .seconds(5))
        try await Task.sleep(for: .milliseconds(50))
        #expect(listener.isActive)
        try await listener.setOption(.autoRead, value: true).get()
        await closed
        #expect(!listener.isActive)
        #expect(count.value.load(ordering: .relaxed) == 3)
        for client in clients { try? await client.close().get() }
    }

    @Test("One that goes on being busy is closed when its time is over")
    func busy() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        let client = try await ClientBootstrap(group: group).connect(to: try #require(listener.localAddress)).get()
        await ListeningChannel.closeWhenEmpty(listener, within: .milliseconds(100))
        #expect(!listener.isActive)
        try? await client.close().get()
    }

    @Test("A socket is taken by its address or its name, once, and another copy listens on when the first is closed")
    func copies() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let first = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let address = try #require(first.localAddress)
        let copy = try #require(await ListeningChannel.descriptor(of: first))
        #expect(fcntl(copy, F_GETFD) & FD_CLOEXEC != 0)
        try await first.close().get()
        let count = Count()
        let second = try await ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(count) }
            }
            .listen(at: copy)
        let client = try await ClientBootstrap(group: group).connect(to: address).get()
        for _ in 0..<500 where count.value.load(ordering: .relaxed) == 0 {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(count.value.load(ordering: .relaxed) == 1)
        try? await client.close().get()
        try await second.close().get()
    }
}
