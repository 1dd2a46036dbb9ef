import CAllocationCount
import CacheStorage
import EdgeHTTP
import EdgeModel
import Foundation
import Logging
import NIOCore
import NIOPosix
import TLSWire

/// How many blocks of memory an edge's event loop asks for in one request on a kept connection, without TLS.
///
///     allocations                prints the means of 1,000 requests each, as JSON, and how the program was built
///
/// Only the edge's thread counts: client and origin have others. The figures' bounds are in `thresholds.json`.
@main struct Allocations {
    private static let host = "www.example.test"
    private static let warmUp = 200
    private static let count = 1_000

    static func main() async throws {
        var figures: [String: Int] = [:]
        figures["hit-http1"] = try await Self.measure(isCached: true) { try HTTP1Client(port: $0, host: Self.host) }
        figures["hit-http2"] = try await Self.measure(isCached: true, isHTTP2: true) {
            try HTTP2Client(port: $0, host: Self.host)
        }
        figures["origin-http1"] = try await Self.measure(isCached: false) {
            try HTTP1Client(port: $0, host: Self.host)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let report = Report(build: Self.build, figures: figures)
        print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }

    private struct Report: Codable {
        var build: String
        var figures: [String: Int]
    }

    #if DEBUG
        private static let build = "debug"
    #else
        private static let build = "release"
    #endif

    private static func measure(
        isCached: Bool, isHTTP2: Bool = false, _ connect: @Sendable (Int) throws -> any Client
    ) async throws -> Int {
        let edge = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let others = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let origin = try await Self.origin(Self.answer(isCached: isCached), others)
        let site = try ProxySite(
            name: Self.host, domains: [try ServerNamePattern(Self.host)], edgeName: "paris",
            origin: OriginConfiguration(scheme: .http, host: "127.0.0.1", port: origin.localAddress?.port ?? 0),
            cache: SiteCacheConfiguration(), store: ResponseStore(), logger: Self.logger,
            group: edge)
        let server = try await Self.server(site, edge, isHTTP2: isHTTP2)
        let client = try connect(server.localAddress?.port ?? 0)
        let loop = edge.next()
        for _ in 0..<Self.warmUp { try client.exchange() }
        let before = try await loop.submit { allocations_of_this_thread() }.get()
        for _ in 0..<Self.count { try client.exchange() }
        let after = try await loop.submit { allocations_of_this_thread() }.get()
        site.shutdown()
        try await server.close()
        try await origin.close()
        try await others.shutdownGracefully()
        try await edge.shutdownGracefully()
        return Int(after - before + UInt(Self.count) / 2) / Self.count
    }

    private static var logger: Logger { Logger(label: "allocations") { _ in SwiftLogNoOpLogHandler() } }

    /// A KiB with the fields that servers usually send.
    private static func answer(isCached: Bool) -> ByteBuffer {
        var answer = ByteBuffer(
            string: "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/html; charset=utf-8\r\n")
        answer.writeString("Date: Tue, 10 Nov 2026 10:00:00 GMT\r\nETag: \"5d8c72a5edda8d6a\"\r\n")
        answer.writeString("Cache-Control: \(isCached ? "public, max-age=360000000" : "private")\r\n")
        answer.writeString("Content-Length: 1024\r\n\r\n")
        answer.writeRepeatingByte(UInt8(ascii: "x"), count: 1024)
        return answer
    }

    private static func origin(_ answer: ByteBuffer, _ group: MultiThreadedEventLoopGroup) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Origin(answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private static func server(
        _ site: ProxySite, _ group: MultiThreadedEventLoopGroup, isHTTP2: Bool
    ) async throws -> any Channel {
        let name = try ServerName(Self.host)
        return try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let context = ProxyContext(
                        site: site, serverName: name, clientAddress: channel.remoteAddress, logger: Self.logger)
                    if isHTTP2 {
                        try HTTP2Proxy.install(on: channel, context: context)
                    } else {
                        try HTTP1Proxy.install(on: channel, context: context)
                    }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }
}

/// Answers every request with the same bytes.
private final class Origin: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let answer: ByteBuffer

    init(_ answer: ByteBuffer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // The edge sends one request at a time, and each fits into one read.
        context.writeAndFlush(self.wrapOutboundOut(self.answer), promise: nil)
    }
}
