import EdgeModel
import NIOConcurrencyHelpers
import NIOCore
import TestWire
import Testing

@testable import EdgeHTTP

/// Clients that go away while the edge writes to them: a write that fails closes the connection from within the flush.
@Suite(.timeLimit(.minutes(2))) struct GoneInFlushTests {
    /// Closes the connection as a failed write does: before the flush returns that follows a large read.
    private final class ClosesInFlush: ChannelDuplexHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundIn = ByteBuffer
        private var isArmed = false

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            if self.unwrapInboundIn(data).readableBytes > 60 { self.isArmed = true }
            context.fireChannelRead(data)
        }

        func flush(context: ChannelHandlerContext) {
            if self.isArmed { context.close(promise: nil) } else { context.flush() }
        }
    }

    /// The client's connection at the edge, once there are so many.
    private func served(_ children: Children, _ count: Int) async throws -> any Channel {
        while children.all.count < count { try await Task.sleep(for: .milliseconds(5)) }
        return try #require(children.all.last)
    }

    private func closeInFlush(_ channel: any Channel) async throws {
        try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.addHandler(ClosesInFlush(), position: .first)
        }.get()
    }

    /// Requests behind the one whose answer could not be written are not begun: there is no client for them.
    @Test func aClosedConnectionBeginsNothing() async throws {
        let bench = CacheBench()
        let children = Children()
        let seen = NIOLockedValueBox<[String]>([])
        try await ProxyBench.run(
            children: children, cache: SiteCacheConfiguration(), store: bench.store, clock: { bench.time }
        ) { wire, _ in
            while true {
                let head = try await wire.readHead()
                seen.withLockedValue { $0.append(String(head.prefix { $0 != "\r\n" })) }
                try await wire.send(CacheBench.response("Cache-Control: max-age=60"))
            }
        } test: { proxy in
            #expect(try await proxy.get("/a").status == 200)
            let client = try await proxy.client()
            try await client.send(ProxyBench.request("GET /a HTTP/1.1"))
            _ = try await client.readHead()
            _ = try await client.read(5)
            let channel = try await self.served(children, 2)
            try await self.closeInFlush(channel)
            try await client.send(ProxyBench.request("GET /a HTTP/1.1") + ProxyBench.request("GET /gone HTTP/1.1"))
            try await channel.closeFuture.get()
            #expect(try await proxy.get("/after").status == 200)
        }
        #expect(seen.withLockedValue { $0 } == ["GET /a HTTP/1.1", "GET /after HTTP/1.1"])
    }

    /// Streams that the same read brought are not made for a connection that is gone: nothing would end them.
    @Test func aClosedConnectionOfHTTP2IsFreed() async throws {
        let bench = CacheBench()
        let children = Children()
        try await ProxyBench.run(
            http2: true, children: children, cache: SiteCacheConfiguration(), store: bench.store,
            clock: { bench.time }
        ) { wire, _ in
            _ = try await wire.readHead()
            try await wire.send(CacheBench.response("Cache-Control: max-age=60"))
            _ = try? await wire.readHead()
        } test: { proxy in
            let polite = try await FrameClient.connect(proxy)
            #expect(try await polite.get("/a").status == 200)
            let client = try await UnreadAnswersTests.rawClient(proxy)
            let channel = try await self.served(children, 2)
            let connection = NIOLoopBoundBox.makeBoxSendingValue(Weak(), eventLoop: channel.eventLoop)
            while !(try await self.find(connection, on: channel)) { try await Task.sleep(for: .milliseconds(5)) }
            try await self.closeInFlush(channel)
            client.writeAndFlush(try UnreadAnswersTests.heads(64), promise: nil)
            try await channel.closeFuture.get()
            var looks = 0
            while !(try await self.isGone(connection, channel)), looks < 200 {
                looks += 1
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(try await self.isGone(connection, channel))
        }
    }

    /// Looked at on the connection's event loop only.
    private struct Weak {
        weak var connection: HTTP2Connection?
    }

    private func find(_ box: NIOLoopBoundBox<Weak>, on channel: any Channel) async throws -> Bool {
        try await channel.eventLoop.submit {
            box.value.connection = try? channel.pipeline.syncOperations.handler(type: HTTP2Connection.self)
            return box.value.connection != nil
        }.get()
    }

    private func isGone(_ box: NIOLoopBoundBox<Weak>, _ channel: any Channel) async throws -> Bool {
        try await channel.eventLoop.submit { box.value.connection == nil }.get()
    }
}
