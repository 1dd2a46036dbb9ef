import EdgeModel
import Logging
import MetricsTestKit
import NIOCore
import NIOEmbedded
import NativeHandshake
import TLSWire
import TestSockets
import Testing

@testable import EdgeTLS

/// The handler without sockets: reading, routing, handing over. What reaches refused clients is in `HelloRefusalTests`.
@Suite struct HelloHandlerTests {
    private final class Taken {
        var handOver: RoutedClient?
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var bytes: [UInt8] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.bytes += Array(buffer: self.unwrapInboundIn(data))
        }
    }

    private let metrics = TestMetrics()

    private func makeChannel(taken: Taken, limits: HelloLimits = HelloLimits()) throws -> EmbeddedChannel {
        let table = try SiteTable(sites: [try SiteTableTests.relay("www.example.test")])
        let handler = HelloHandler(
            table: table, limits: limits, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            metrics: self.metrics
        ) { taken.handOver = $0 }
        let channel = EmbeddedChannel(handler: handler)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private func rejections(_ reason: String) throws -> Int64 {
        try self.metrics.expectCounter("latchstring_edge_hello_rejected_total", [("reason", reason)]).totalValue
    }

    @Test(arguments: [1, 3, 100, 100_000])
    func handsOverEveryByteInAnySplit(size: Int) throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        let hello = TestHello(padding: 5000).records(of: 1000)
        for start in stride(from: 0, to: hello.count, by: size) {
            #expect(taken.handOver == nil)
            try channel.writeInbound(ByteBuffer(bytes: hello[start..<min(start + size, hello.count)]))
        }
        let handOver = try #require(taken.handOver)
        #expect(Array(buffer: handOver.receivedBytes) == hello)
        #expect(handOver.serverName?.rawValue == "www.example.test")
        #expect(handOver.site.name == "www.example.test")
        #expect(throws: ChannelPipelineError.self) {
            try channel.pipeline.syncOperations.handler(type: HelloHandler.self)
        }
        _ = try channel.finish()
    }

    @Test func bytesAfterTheHelloInOneBurstAreHandedOverToo() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        let hello = TestHello().records()
        // Several reads, one end of the burst, as when a socket has more than one buffer's worth.
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: hello))
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: [1, 2, 3]))
        #expect(taken.handOver == nil)
        channel.pipeline.fireChannelReadComplete()
        #expect(Array(buffer: try #require(taken.handOver).receivedBytes) == hello + [1, 2, 3])
        _ = try channel.finish()
    }

    @Test func silenceInANativeHelloIsToldWithAnAlert() throws {
        let channel = try self.makeChannel(taken: Taken())
        // The type and version of a native hello, and no more.
        try channel.writeInbound(ByteBuffer(bytes: [0xC1, 1]))
        channel.embeddedEventLoop.advanceTime(by: HelloLimits().timeout)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == NativeAlert.timeout.record)
        #expect(try self.rejections("native: timeout") == 1)
        _ = try? channel.finish()
    }

    @Test func silenceInATLSHelloGetsNothing() throws {
        let channel = try self.makeChannel(taken: Taken())
        try channel.writeInbound(ByteBuffer(bytes: [0x16, 3]))
        channel.embeddedEventLoop.advanceTime(by: HelloLimits().timeout)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        #expect(try self.rejections("timeout") == 1)
        _ = try? channel.finish()
    }

    @Test func pausesReading() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        let autoRead = channel.options.compactMap { option in
            option.option is ChannelOptions.Types.AutoReadOption ? option.value as? Bool : nil
        }
        #expect(autoRead == [false])
        _ = try channel.finish()
    }

    @Test func closesAtTheTimeout() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        try channel.writeInbound(ByteBuffer(bytes: TestHello().records().prefix(20)))
        channel.embeddedEventLoop.advanceTime(by: .seconds(9))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
        #expect(taken.handOver == nil)
        #expect(try self.rejections("timeout") == 1)
    }

    @Test func noTimeoutAfterTheHandOver() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        try channel.writeInbound(ByteBuffer(bytes: TestHello().records()))
        channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(channel.isActive)
        _ = try channel.finish()
    }

    @Test func clientThatClosesEarlyIsCountedOnce() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        try channel.writeInbound(ByteBuffer(bytes: [0x16, 3, 1]))
        try channel.close().wait()
        #expect(try self.rejections("truncated") == 1)
        #expect(taken.handOver == nil)
    }

    @Test func clientThatSaysNothingIsCountedApart() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken: taken)
        try channel.close().wait()
        #expect(try self.rejections("silent") == 1)
    }
}
