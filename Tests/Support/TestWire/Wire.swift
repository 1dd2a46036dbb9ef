public import NIOCore
import NIOPosix
public import NIOSSL
import Synchronization

/// What arrives on a channel, as a stream.
private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let continuation: AsyncThrowingStream<ByteBuffer, any Error>.Continuation
    init(_ continuation: AsyncThrowingStream<ByteBuffer, any Error>.Continuation) { self.continuation = continuation }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.continuation.yield(self.unwrapInboundIn(data))
    }
    func channelInactive(context: ChannelHandlerContext) { self.continuation.finish() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.continuation.finish(throwing: error)
        context.close(promise: nil)
    }
}

public struct WireEnded: Error {
    public var read: String
    public init(read: String) { self.read = read }
}

/// One end of a connection for tests: says and hears plain bytes.
public final class Wire {
    public let channel: any Channel
    private var iterator: AsyncThrowingStream<ByteBuffer, any Error>.Iterator
    private var buffer = ByteBuffer()

    private init(_ channel: any Channel, _ stream: AsyncThrowingStream<ByteBuffer, any Error>) {
        self.channel = channel
        self.iterator = stream.makeAsyncIterator()
    }

    public static func connect(
        _ address: SocketAddress, tls: (NIOSSLContext, String)? = nil, reading: Bool = true
    ) async throws -> Wire {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ByteBuffer.self)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reading)
            .channelOption(.socketOption(.so_rcvbuf), value: 32768)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls.0, serverHostname: tls.1))
                    }
                    try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                }
            }
            .connect(to: address).get()
        return Wire(channel, stream)
    }

    /// Listens on loopback, by default on a free port; each connection runs the script and is closed after it.
    public static func listen(
        host: String = "127.0.0.1", port: Int = 0, tls: NIOSSLContext? = nil,
        script: @escaping @Sendable (Wire, Int) async throws -> Void
    ) async throws -> any Channel {
        let counter = Counter()
        return try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                let (stream, continuation) = AsyncThrowingStream.makeStream(of: ByteBuffer.self)
                return channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                    Task {
                        // A script that ends early is a test's way to hang up.
                        try? await script(Wire(channel, stream), counter.next())
                        channel.close(promise: nil)
                    }
                }
            }
            .bind(host: host, port: port).get()
    }

    public func send(_ text: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: text))
    }

    public func send(_ bytes: ByteBuffer) async throws {
        try await self.channel.writeAndFlush(bytes)
    }

    private func more() async throws {
        guard var bytes = try await self.iterator.next() else {
            throw WireEnded(read: String(buffer: self.buffer))
        }
        self.buffer.writeBuffer(&bytes)
        self.buffer.discardReadBytes()
    }

    /// Everything up to and including the first blank line.
    public func readHead() async throws -> String {
        while true {
            let view = self.buffer.readableBytesView
            if let end = view.firstRange(of: Array("\r\n\r\n".utf8)) {
                return self.buffer.readString(length: end.upperBound - view.startIndex) ?? ""
            }
            try await self.more()
        }
    }

    public func read(_ count: Int) async throws -> ByteBuffer {
        while self.buffer.readableBytes < count { try await self.more() }
        return self.buffer.readSlice(length: count) ?? ByteBuffer()
    }

    public func readText(_ count: Int) async throws -> String {
        String(buffer: try await self.read(count))
    }

    public func readLine() async throws -> String {
        while true {
            let view = self.buffer.readableBytesView
            if let end = view.firstRange(of: Array("\r\n".utf8)) {
                let line = self.buffer.readString(length: end.lowerBound - view.startIndex) ?? ""
                self.buffer.moveReaderIndex(forwardBy: 2)
                return line
            }
            try await self.more()
        }
    }

    /// Until the end of the stream; throws what broke it.
    public func readToEnd() async throws -> String {
        do {
            while true { try await self.more() }
        } catch let ended as WireEnded {
            self.buffer.clear()
            return ended.read
        }
    }

    /// A response: head and body, by Content-Length or chunked. Trailers are left in `trailers`.
    public func readResponse(hasBody: Bool = true) async throws -> Response {
        let head = try await self.readHead()
        var response = Response(head: head, body: ByteBuffer(), trailers: "")
        guard hasBody else { return response }
        if let length = response.field("content-length").flatMap({ Int($0) }) {
            response.body = try await self.read(length)
        } else if response.field("transfer-encoding") == "chunked" {
            while true {
                guard let size = Int(try await self.readLine(), radix: 16) else { throw WireEnded(read: head) }
                if size == 0 { break }
                var chunk = try await self.read(size)
                response.body.writeBuffer(&chunk)
                _ = try await self.readLine()
            }
            while case let line = try await self.readLine(), !line.isEmpty { response.trailers += line + "\n" }
        }
        return response
    }

    public struct Response: Sendable {
        public var head: String
        public var body: ByteBuffer
        public var trailers: String
        public var text: String { String(buffer: self.body) }
        public var status: Int { Int(self.head.split(separator: " ").dropFirst().first ?? "") ?? 0 }

        public func field(_ name: String) -> String? { Wire.field(name, in: self.head) }
    }

    public static func field(_ name: String, in head: String) -> String? {
        for line in head.split(separator: "\r\n").dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == name { return String(parts[1].drop { $0 == " " }) }
        }
        return nil
    }
}

public final class Counter: Sendable {
    private let value = Mutex(0)
    public init() {}
    public func next() -> Int {
        self.value.withLock {
            $0 += 1; return $0
        }
    }
    public var current: Int { self.value.withLock { $0 } }
}
