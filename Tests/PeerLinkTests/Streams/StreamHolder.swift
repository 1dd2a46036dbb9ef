import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import PrivateAuthority
import StreamWire

@testable import PeerLink

/// The accepter's end of links of streams, on a free port behind real mutual TLS.
final class StreamHolder: Sendable {
    /// What it does with streams.
    enum Manner: Sendable {
        /// Sends back what it gets, and ends when the other end does.
        case echo
        /// Neither takes nor refuses them.
        case silent
        case refusing(StreamReset)
        /// Takes them and sends so many bytes to each.
        case sending(Int)
        /// Takes no streams over any link, and says so at once.
        case draining
    }

    let address: PeerAddress
    private let listener: any Channel
    private let links: NIOLockedValueBox<[(any Channel, NIOLoopBound<StreamLinkHandler>)]>
    private let opened: NIOLockedValueBox<[String]>

    /// TLS handshakes that there were.
    var handshakes: Int { self.links.withLockedValue { $0.count } }
    /// What was said of the streams that were opened.
    var introductions: [String] { self.opened.withLockedValue { $0 } }

    static func start(
        _ credentials: PeerCredentials, _ manner: Manner = .echo, protocols: [String] = [StreamFrame.protocolName]
    ) async throws -> StreamHolder {
        let tls = try credentials.serverContext(protocols: protocols)
        let links = NIOLockedValueBox<[(any Channel, NIOLoopBound<StreamLinkHandler>)]>([])
        let opened = NIOLockedValueBox<[String]>([])
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let box = NIOLoopBoundBox<StreamLinkHandler?>(nil, eventLoop: channel.eventLoop)
                    let handler = StreamLinkHandler(
                        role: .accepter,
                        events: .init(opened: { offered in
                            opened.withLockedValue { $0.append(String(buffer: offered.introduction)) }
                            guard let link = box.value else { return }
                            Self.take(offered, of: link, manner)
                        }))
                    box.value = handler
                    let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLServerHandler(context: tls),
                        Counter {
                            links.withLockedValue { $0.append((channel, bound)) }
                            if case .draining = manner { bound.value.drain() }
                        },
                        handler,
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return StreamHolder(listener, links, opened)
    }

    private static func take(_ offered: OfferedStream, of link: StreamLinkHandler, _ manner: Manner) {
        switch manner {
        case .silent, .draining: break
        case .refusing(let reason): offered.refuse(reason)
        case .echo:
            guard let stream = offered.take() else { return }
            try? stream.pipeline.syncOperations.addHandler(EchoHandler())
            link.accept(stream)
        case .sending(let count):
            guard let stream = offered.take() else { return }
            link.accept(stream)
            stream.writeAndFlush(ByteBuffer(repeating: 0x5A, count: count), promise: nil)
        }
    }

    private init(
        _ listener: any Channel, _ links: NIOLockedValueBox<[(any Channel, NIOLoopBound<StreamLinkHandler>)]>,
        _ opened: NIOLockedValueBox<[String]>
    ) {
        self.listener = listener
        self.links = links
        self.opened = opened
        self.address = PeerAddress(host: "127.0.0.1", port: listener.localAddress?.port ?? 0)
    }

    func drain() async throws {
        for (channel, handler) in self.links.withLockedValue({ $0 }) {
            try await channel.eventLoop.submit { handler.value.drain() }.get()
        }
    }

    /// Reads nothing more of the links that there are, as if the network had lost them.
    func fallSilent() async throws {
        for (channel, _) in self.links.withLockedValue({ $0 }) {
            try await channel.setOption(.autoRead, value: false).get()
        }
    }

    /// As if the process had been killed.
    func kill() async throws {
        try await self.listener.close().get()
        for (channel, _) in self.links.withLockedValue({ $0 }) {
            try await channel.eventLoop.submit {
                _ = (channel as? any SocketOptionProvider)?.setSoLinger(onForZeroSeconds)
                // Below TLS, which would say that it ends.
                channel._channelCore.close0(error: ChannelError.eof, mode: .all, promise: nil)
            }.get()
        }
    }

    func stop() async throws { try await self.listener.close().get() }

    private final class Counter: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let shaken: () -> Void

        init(_ shaken: @escaping () -> Void) { self.shaken = shaken }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted? = event as? TLSUserEvent { self.shaken() }
            context.fireUserInboundEventTriggered(event)
        }
    }
}

/// Sends back what it reads, no faster than it can be sent.
private final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var waits = false

    func handlerAdded(context: ChannelHandlerContext) {
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func channelActive(context: ChannelHandlerContext) { context.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.write(data, promise: nil) }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
        if context.channel.isWritable { context.read() } else { self.waits = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard self.waits, context.channel.isWritable else { return }
        self.waits = false
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { context.close(mode: .output, promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// The opener's end of one stream, driven from a test.
final class TestStream: Sendable {
    enum News: Equatable, Sendable {
        case data(ByteBuffer)
        case ended
        case broke(String)
        case closed
    }

    let channel: StreamChannel
    private let news: AsyncStream<News>

    /// On its event loop.
    init(_ channel: StreamChannel, reads: Bool) throws {
        let (stream, continuation) = AsyncStream.makeStream(of: News.self)
        self.channel = channel
        self.news = stream
        try channel.pipeline.syncOperations.addHandler(Collector(continuation))
        if reads { try channel.syncOptions?.setOption(.autoRead, value: true) }
    }

    func send(_ bytes: ByteBuffer) async throws { try await self.channel.writeAndFlush(bytes) }
    func end() async throws { try await self.channel.close(mode: .output) }
    func close() { self.channel.close(promise: nil) }

    /// Breaks it off.
    func reset() async throws {
        try await self.channel.setSoLinger(onForZeroSeconds).get()
        self.channel.close(promise: nil)
    }

    /// What comes until the stream has ended, and how that was.
    func rest() async -> (bytes: Int, last: News?) {
        var count = 0
        for await news in self.news {
            if case .data(let bytes) = news { count += bytes.readableBytes } else { return (count, news) }
        }
        return (count, nil)
    }

    /// So many bytes.
    func receive(_ wanted: Int) async -> Int {
        var count = 0
        for await news in self.news {
            guard case .data(let bytes) = news else { break }
            count += bytes.readableBytes
            if count >= wanted { break }
        }
        return count
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let continuation: AsyncStream<News>.Continuation

        init(_ continuation: AsyncStream<News>.Continuation) { self.continuation = continuation }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.continuation.yield(.data(self.unwrapInboundIn(data)))
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if let event = event as? ChannelEvent, event == .inputClosed { self.continuation.yield(.ended) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.continuation.yield(.broke("\(error)"))
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.continuation.yield(.closed)
            self.continuation.finish()
        }
    }
}

/// A close is a reset then. `struct linger` is two ints, on and seconds.
private var onForZeroSeconds: NIOLinger { unsafeBitCast((CInt(1), CInt(0)), to: NIOLinger.self) }
