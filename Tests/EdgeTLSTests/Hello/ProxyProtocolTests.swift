import Admission
import EdgeModel
import Logging
import MetricsTestKit
import NIOCore
import NIOEmbedded
import TLSWire
import Telemetry
import TestSockets
import Testing

@testable import EdgeTLS

/// Behind a balancer: the PROXY header, then the hello.
@Suite struct ProxyProtocolTests {
    private final class Taken {
        var handOver: RoutedClient?
        var identified: [ClientAddress] = []
    }

    private let metrics = TestMetrics()

    private func makeChannel(
        _ taken: Taken, start: ListenerPolicy.Start = .proxyProtocolHeader, refusal: HelloRefusal? = nil
    ) throws -> EmbeddedChannel {
        let handler = HelloHandler(
            connection: 1, client: ClientAddress(source: try SocketAddress(ipAddress: "10.0.0.1", port: 1)),
            start: start, table: try SiteTable(sites: [try SiteTableTests.relay("www.example.test")]),
            limits: HelloLimits(),
            reports: ReportLog(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, clock: nil),
            metrics: self.metrics,
            identified: {
                taken.identified.append($0)
                return refusal
            },
            handOver: { taken.handOver = $0 }, handOverNative: { _ in })
        let channel = EmbeddedChannel(handler: handler)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private func header() throws -> ProxyProtocolHeader {
        ProxyProtocolHeader(
            source: try SocketAddress(ipAddress: "192.0.2.77", port: 50_000),
            destination: try SocketAddress(ipAddress: "192.0.2.1", port: 443))
    }

    private func rejections(_ reason: String) throws -> Int64 {
        try self.metrics.expectCounter("latchstring_edge_hello_rejected_total", [("reason", reason)]).totalValue
    }

    @Test(arguments: [1, 7, 100, 100_000], [ProxyProtocolVersion.v1, .v2])
    func theHeaderComesOffInAnySplit(size: Int, version: ProxyProtocolVersion) throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken)
        let hello = TestHello().records()
        let bytes = Array(buffer: try #require(try self.header().encoded(version))) + hello
        for start in stride(from: 0, to: bytes.count, by: size) {
            try channel.writeInbound(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
        }
        let handOver = try #require(taken.handOver)
        #expect(Array(buffer: handOver.receivedBytes) == hello)
        #expect(handOver.client.source == (try SocketAddress(ipAddress: "192.0.2.77", port: 50_000)))
        #expect(handOver.client.proxyProtocolHeader == (try self.header()))
        #expect(taken.identified == [handOver.client])
        _ = try channel.finish()
    }

    @Test func aHelloWithoutTheHeaderIsRefused() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken)
        try channel.writeInbound(ByteBuffer(bytes: TestHello().records()))
        #expect(taken.handOver == nil && !channel.isActive)
        #expect(try self.rejections("PROXY header") == 1)
    }

    @Test func aHeaderFromAClientIsNoHello() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken, start: .hello)
        var bytes = try #require(try self.header().encoded(.v2))
        bytes.writeBytes(TestHello().records())
        try channel.writeInbound(bytes)
        #expect(taken.handOver == nil && taken.identified.isEmpty)
        _ = try? channel.finish()
    }

    @Test func oneHeaderAndNoSecond() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken)
        var bytes = try #require(try self.header().encoded(.v2))
        bytes.writeImmutableBuffer(try #require(try self.header().encoded(.v2)))
        bytes.writeBytes(TestHello().records())
        try channel.writeInbound(bytes)
        #expect(taken.handOver == nil)
        _ = try? channel.finish()
    }

    @Test func aBalancersOwnConnectionHasItsOwnAddress() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken)
        let local: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x20, 0, 0, 0]
        try channel.writeInbound(ByteBuffer(bytes: local))
        try channel.writeInbound(ByteBuffer(bytes: TestHello().records()))
        #expect(taken.handOver?.client.source == (try SocketAddress(ipAddress: "10.0.0.1", port: 1)))
        _ = try channel.finish()
    }

    @Test func aHealthCheckOfTheBalancerIsSilent() throws {
        let channel = try self.makeChannel(Taken())
        let local: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x20, 0, 0, 0]
        try channel.writeInbound(ByteBuffer(bytes: local))
        try channel.close().wait()
        #expect(try self.rejections("silent") == 1)
    }

    @Test func anUnfinishedHeaderIsTruncated() throws {
        let channel = try self.makeChannel(Taken())
        try channel.writeInbound(ByteBuffer(string: "PROXY TCP4 "))
        try channel.close().wait()
        #expect(try self.rejections("truncated") == 1)
    }

    @Test func whoeverIsIdentifiedMayBeRefused() throws {
        let taken = Taken()
        let channel = try self.makeChannel(taken, refusal: .notFromProxy)
        var bytes = try #require(try self.header().encoded(.v1))
        bytes.writeBytes(TestHello().records())
        try channel.writeInbound(bytes)
        #expect(taken.handOver == nil && !channel.isActive)
    }

    @Test func othersAreRefusedAtOnceUnlessTheyAreServed() throws {
        let networks = [try IPNetwork(parsing: "10.0.0.0/8")]
        let inside = IPAddress("10.1.2.3")
        let outside = IPAddress("192.0.2.1")
        #expect(ListenerPolicy.proxies(networks, servesOthers: false).start(of: inside) == .proxyProtocolHeader)
        #expect(ListenerPolicy.proxies(networks, servesOthers: false).start(of: outside) == .refused)
        #expect(ListenerPolicy.proxies(networks, servesOthers: false).start(of: nil) == .refused)
        #expect(ListenerPolicy.proxies(networks, servesOthers: true).start(of: outside) == .hello)
        #expect(ListenerPolicy.clients.start(of: inside) == .hello)
        let taken = Taken()
        let channel = try self.makeChannel(taken, start: .refused)
        #expect(!channel.isActive)
        #expect(try self.rejections("not from a trusted proxy") == 1)
    }
}
