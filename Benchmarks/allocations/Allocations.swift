import CAllocationCount
import CacheStorage
import Channels
import EdgeHTTP
import EdgeModel
import EdgeTLS
import Foundation
import HTTPFields
import Logging
import NIOCore
import NIOPosix
import RecordLayer
import TLSWire

/// How many blocks of memory an edge's event loop asks for in one request on a kept connection, without TLS unless its records are named.
///
///     allocations                prints the means of 1,000 requests each, as JSON, and how the program was built
///
/// And what a cached KiB takes of the memory: by the blocks in use, and as the store counts it.
///
/// Only the edge's thread counts: client and origin have others. The figures' bounds are in `thresholds.json`.
@main struct Allocations {
    private static let host = "www.example.test"
    private static let warmUp = 200
    private static let count = 1_000

    static func main() async throws {
        var figures: [String: Int] = [:]
        figures["hit-http1"] = try await Self.measure(isCached: true) { port in
            let client = try HTTP1Client(port: port, host: Self.host)
            return { _ in try client.exchange() }
        }
        figures["hit-http1-records"] = try await Self.measure(isCached: true, .http1Records) { port in
            let records = RecordSession(try Self.session(isClient: true))
            let client = try HTTP1Client(port: port, host: Self.host, records: records)
            return { _ in try client.exchange() }
        }
        figures["hit-http2"] = try await Self.measure(isCached: true, .http2) { port in
            let client = try HTTP2Client(port: port, host: Self.host)
            return { _ in try client.exchange() }
        }
        figures["origin-http1"] = try await Self.measure(isCached: false) { port in
            let client = try HTTP1Client(port: port, host: Self.host)
            return { _ in try client.exchange() }
        }
        // Each page is another one, and is stored.
        figures["miss-http1"] = try await Self.measure(isCached: true) { port in
            let client = try HTTP1Client(port: port, host: Self.host)
            return { try client.exchange(query: $0) }
        }
        (figures["bytes-cached-kib"], figures["bytes-cached-kib-counted"]) = try await Self.measureMemory()
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
        private static let objects = 12_000
    #else
        private static let build = "release"
        private static let objects = 100_000
    #endif

    private enum Kind {
        case http1, http1Records, http2
    }

    /// TLS 1.3 after its handshake. A client has the server's secret as its own.
    private static func session(isClient: Bool) throws -> ExportedSession {
        let (client, server) = (Secret(Array(1...32)), Secret(Array(101...132)))
        return try ExportedSession(
            suite: .aes128GCMSHA256, applicationProtocol: nil,
            secrets: .tls13(client: isClient ? server : client, server: isClient ? client : server, finished: nil))
    }

    private static func measure(
        isCached: Bool, _ kind: Kind = .http1,
        _ connect: @Sendable (_ port: Int) throws -> (_ number: Int) throws -> Void
    ) async throws -> Int {
        try await Self.withEdge(isCached: isCached, kind, store: ResponseStore()) { port, loop in
            let exchange = try connect(port)
            for number in 0..<Self.warmUp { try exchange(-number) }
            let before = try await loop.submit { allocations_of_this_thread() }.get()
            for number in 0..<Self.count { try exchange(number + 1) }
            let after = try await loop.submit { allocations_of_this_thread() }.get()
            return Int(after - before + UInt(Self.count) / 2) / Self.count
        }
    }

    /// Bytes of one page among many.
    private static func measureMemory() async throws -> (inUse: Int, counted: Int) {
        let store = ResponseStore()
        return try await Self.withEdge(isCached: true, .http1, store: store) { port, _ in
            // The edge ends a connection after 10,000 requests.
            var client = try HTTP1Client(port: port, host: Self.host)
            for number in 0..<Self.warmUp { try client.exchange(query: -number) }
            let (before, countedBefore) = (bytes_in_use(), store.statistics.memoryBytes)
            for number in 0..<Self.objects {
                if number % 5_000 == 0 { client = try HTTP1Client(port: port, host: Self.host) }
                try client.exchange(query: number)
            }
            let (after, counted) = (bytes_in_use(), store.statistics.memoryBytes)
            return ((after - before) / Self.objects, (counted - countedBefore) / Self.objects)
        }
    }

    private static func withEdge<Figures>(
        isCached: Bool, _ kind: Kind, store: ResponseStore,
        _ body: (_ port: Int, any EventLoop) async throws -> Figures
    ) async throws -> Figures {
        let edge = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let others = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let origin = try await Self.origin(Self.answer(isCached: isCached), others)
        let site = try ProxySite(
            name: Self.host, domains: [try ServerNamePattern(Self.host)], edgeName: "paris",
            origin: OriginConfiguration(scheme: .http, host: "127.0.0.1", port: origin.localAddress?.port ?? 0),
            cache: SiteCacheConfiguration(), store: store, logger: Self.logger, group: edge)
        let server = try await Self.server(site, edge, kind)
        let figures = try await body(server.localAddress?.port ?? 0, edge.next())
        site.shutdown()
        try await server.close()
        try await origin.close()
        try await others.shutdownGracefully()
        try await edge.shutdownGracefully()
        return figures
    }

    private static var logger: Logger { Logger(label: "allocations") { _ in SwiftLogNoOpLogHandler() } }

    /// A KiB with the fields that servers usually send.
    private static func answer(isCached: Bool) -> ByteBuffer {
        var answer = ByteBuffer(
            string: "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/html; charset=utf-8\r\n")
        answer.writeString("Date: ")
        answer.writeBytes(HTTPDate.bytes(Int64(Date.now.timeIntervalSince1970) * 1000))
        answer.writeString("\r\nETag: \"5d8c72a5edda8d6a\"\r\n")
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
        _ site: ProxySite, _ group: MultiThreadedEventLoopGroup, _ kind: Kind
    ) async throws -> any Channel {
        let name = try ServerName(Self.host)
        return try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let context = ProxyContext(
                        site: site, serverName: name, clientAddress: channel.remoteAddress, logger: Self.logger)
                    switch kind {
                    case .http1: try HTTP1Proxy.install(on: channel, context: context)
                    case .http1Records:
                        let records = RecordHandler(RecordSession(try Self.session(isClient: false)))
                        try channel.pipeline.syncOperations.addHandler(records, name: ServerTLS.handlerName)
                        try HTTP1Proxy.install(on: channel, context: context)
                        records.begin(with: ByteBuffer())
                    case .http2: try HTTP2Proxy.install(on: channel, context: context)
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
