import EdgeModel
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import NIOSSL
import TestWire
import Testing

/// An HTTP/2 client that says and hears frames.
final class FrameClient {
    struct Response {
        var informational: [HPACKHeaders] = []
        var head: HPACKHeaders?
        var body = ByteBuffer()
        var trailers: HPACKHeaders?
        /// How the stream ended: nil with END_STREAM.
        var reset: HTTP2ErrorCode?
        var status: Int { Int(self.head?.first(name: ":status") ?? "") ?? 0 }
        var text: String { String(buffer: self.body) }

        func field(_ name: String) -> String? { self.head?.first(name: name) }
    }

    struct GoAway: Equatable {
        var last: HTTP2StreamID
        var code: HTTP2ErrorCode
    }

    struct Ended: Error {}

    let channel: any Channel
    private var iterator: AsyncStream<HTTP2Frame>.Iterator
    private var responses: [HTTP2StreamID: Response] = [:]
    private var ended: Set<HTTP2StreamID> = []
    private(set) var goAways: [GoAway] = []
    private(set) var pongs = 0
    /// What the server granted, by stream.
    private(set) var granted: [HTTP2StreamID: Int] = [:]
    private(set) var isClosed = false
    private var nextStream = HTTP2StreamID(1)

    private init(_ channel: any Channel, _ frames: AsyncStream<HTTP2Frame>) {
        self.channel = channel
        self.iterator = frames.makeAsyncIterator()
    }

    /// - Parameter grants: opens the windows again for whatever is received.
    static func connect(
        _ bench: ProxyBench, settings: HTTP2Settings = [], grants: Bool = true
    ) async throws -> FrameClient {
        let (frames, continuation) = AsyncStream.makeStream(of: HTTP2Frame.self)
        let address = try #require(bench.proxy.localAddress)
        let tls = bench.clientTLS
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: ProxyBench.host))
                    }
                    var configuration = NIOHTTP2Handler.ConnectionConfiguration()
                    configuration.initialSettings = settings
                    configuration.headerBlockValidation = .disabled
                    configuration.contentLengthValidation = .disabled
                    try pipeline.addHandlers([
                        NIOHTTP2Handler(mode: .client, connectionConfiguration: configuration),
                        FrameCollector(continuation, grants: grants),
                    ])
                }
            }
            .connect(to: address).get()
        return FrameClient(channel, frames)
    }

    func send(_ payload: HTTP2Frame.FramePayload, on id: HTTP2StreamID = .rootStream) async throws {
        try await self.channel.writeAndFlush(HTTP2Frame(streamID: id, payload: payload))
    }

    static func fields(_ method: String, _ path: String, _ fields: [(String, String)] = []) -> HPACKHeaders {
        HPACKHeaders(
            [(":method", method), (":scheme", "https"), (":path", path), (":authority", ProxyBench.host)] + fields)
    }

    func takeStream() -> HTTP2StreamID {
        defer { self.nextStream = HTTP2StreamID(Int(self.nextStream) + 2) }
        return self.nextStream
    }

    /// Begins a request; without a body unless `open`.
    func request(
        _ method: String = "GET", _ path: String, _ fields: [(String, String)] = [], open: Bool = false
    ) async throws -> HTTP2StreamID {
        try await self.request(Self.fields(method, path, fields), open: open)
    }

    func request(_ block: HPACKHeaders, open: Bool = false) async throws -> HTTP2StreamID {
        let id = self.takeStream()
        try await self.send(.headers(.init(headers: block, endStream: !open)), on: id)
        return id
    }

    func data(_ bytes: ByteBuffer, on id: HTTP2StreamID, ends: Bool) async throws {
        try await self.send(.data(.init(data: .byteBuffer(bytes), endStream: ends)), on: id)
    }

    /// One more frame of the server; false at the end of the connection.
    @discardableResult
    func more() async -> Bool {
        guard let frame = await self.iterator.next() else {
            self.isClosed = true
            return false
        }
        let id = frame.streamID
        switch frame.payload {
        case .headers(let payload):
            if let code = payload.headers.first(name: ":status").flatMap({ Int($0) }) {
                if code < 200 {
                    self.responses[id, default: Response()].informational.append(payload.headers)
                } else {
                    self.responses[id, default: Response()].head = payload.headers
                }
            } else {
                self.responses[id, default: Response()].trailers = payload.headers
            }
            if payload.endStream { self.ended.insert(id) }
        case .data(let payload):
            if case .byteBuffer(var bytes) = payload.data {
                self.responses[id, default: Response()].body.writeBuffer(&bytes)
            }
            if payload.endStream { self.ended.insert(id) }
        case .rstStream(let code):
            self.responses[id, default: Response()].reset = code
            self.ended.insert(id)
        case .goAway(let last, let code, _):
            self.goAways.append(GoAway(last: last, code: code))
        case .ping(_, ack: true):
            self.pongs += 1
        case .windowUpdate(let increment):
            self.granted[id, default: 0] += increment
        default:
            break
        }
        return true
    }

    /// Reads until the stream has ended, one way or the other.
    func response(_ id: HTTP2StreamID) async throws -> Response {
        while !self.ended.contains(id) {
            guard await self.more() else { throw Ended() }
        }
        return self.responses[id] ?? Response()
    }

    /// What has come so far.
    func soFar(_ id: HTTP2StreamID) -> Response { self.responses[id] ?? Response() }

    func get(_ path: String, _ fields: [(String, String)] = []) async throws -> Response {
        try await self.response(try await self.request("GET", path, fields))
    }

    func readToEnd() async {
        while await self.more() {}
    }

    /// Everything that was sent before is worked off when the answer comes.
    func ping() async throws {
        let before = self.pongs
        try await self.send(.ping(HTTP2PingData(withInteger: 1), ack: false))
        while self.pongs == before {
            guard await self.more() else { throw Ended() }
        }
    }
}

private final class FrameCollector: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame
    private let continuation: AsyncStream<HTTP2Frame>.Continuation
    private let grants: Bool

    init(_ continuation: AsyncStream<HTTP2Frame>.Continuation, grants: Bool) {
        self.continuation = continuation
        self.grants = grants
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = self.unwrapInboundIn(data)
        if self.grants, case .data(let payload) = frame.payload, payload.data.readableBytes > 0 {
            let increment = HTTP2Frame.FramePayload.windowUpdate(windowSizeIncrement: payload.data.readableBytes)
            context.write(
                self.wrapOutboundOut(HTTP2Frame(streamID: .rootStream, payload: increment)), promise: nil)
            if !payload.endStream {
                context.write(
                    self.wrapOutboundOut(HTTP2Frame(streamID: frame.streamID, payload: increment)), promise: nil)
            }
            context.flush()
        }
        self.continuation.yield(frame)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {}

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    func channelInactive(context: ChannelHandlerContext) { self.continuation.finish() }
}
