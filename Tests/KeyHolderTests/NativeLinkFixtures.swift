import KeyProtocol
import NIOCore
import NIOPosix
import NIOSSL
import NativeHandshake
import PrivateAuthority
import StreamWire
import TLSWire
import TestSockets
import Testing
import X509

@testable import KeyHolder

/// The edge's end of a link, as plain as it gets.
final class NativeTestLink: Sendable {
    let channel: any Channel
    private let received: AsyncStream<StreamFrame>

    init(_ holder: TestHolder, _ edge: String = "paris", protocols: [String] = [StreamFrame.protocolName])
        async throws
    {
        let tls = try TestHolder.credentials(holder.authority, .edge, edge).clientContext(protocols: protocols)
        let (stream, continuation) = AsyncStream.makeStream(of: StreamFrame.self)
        self.received = stream
        self.channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLClientHandler(context: tls, serverHostname: nil), Collector(continuation),
                    ])
                }
            }
            .connect(to: try #require(holder.server.nativeAddresses.first)).get()
    }

    func send(_ frames: [StreamFrame]) {
        var bytes = ByteBuffer()
        for frame in frames { frame.write(into: &bytes) }
        self.channel.writeAndFlush(bytes, promise: nil)
    }

    /// The next frame; nil: the link has ended.
    func next() async -> StreamFrame? {
        for await frame in self.received { return frame }
        return nil
    }

    func next(_ count: Int) async -> [StreamFrame] {
        var frames: [StreamFrame] = []
        while frames.count < count, let frame = await self.next() { frames.append(frame) }
        return frames
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var reader = StreamFrameReader()
        private let continuation: AsyncStream<StreamFrame>.Continuation

        init(_ continuation: AsyncStream<StreamFrame>.Continuation) { self.continuation = continuation }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.reader.receive(self.unwrapInboundIn(data))
            while let frame = try? self.reader.next() { self.continuation.yield(frame) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
        func channelInactive(context: ChannelHandlerContext) { self.continuation.finish() }
        func handlerRemoved(context: ChannelHandlerContext) { self.continuation.finish() }
    }

    static let client = ProxyProtocolHeader(
        source: try? SocketAddress(ipAddress: "192.0.2.1", port: 4711),
        destination: try? SocketAddress(ipAddress: "192.0.2.2", port: 443)
    ).encoded(.v2)

    static func open(_ id: StreamFrame.ID) throws -> StreamFrame {
        .open(id, window: 65_536, introduction: try #require(Self.client))
    }
}

/// A client of a native site, as an edge brings it: over one stream of a link, by hand.
struct NativeTestClient {
    let link: NativeTestLink
    let id: StreamFrame.ID
    private var machine: NativeClientMachine
    private var reader = NativeFrameReader(from: .origin)
    private var session: NativeSession?

    static func hello(_ name: String) throws -> ByteBuffer {
        var machine = NativeClientMachine(variant: .originDerived, serverName: try ServerName(name))
        return try machine.start()
    }

    /// Opens the stream and shakes hands. No other stream is to be in use meanwhile.
    init(_ link: NativeTestLink, _ id: StreamFrame.ID, _ name: String) async throws {
        self.link = link
        self.id = id
        self.machine = NativeClientMachine(variant: .originDerived, serverName: try ServerName(name))
        link.send([try NativeTestLink.open(id), .data(id, try self.machine.start())])
        while self.session == nil {
            guard let frame = try await self.record() else { throw NeverHappened(what: "the handshake's end") }
            try self.perform(try self.machine.receive(frame))
        }
    }

    private mutating func perform(_ action: NativeClientMachine.Action) throws {
        switch action {
        case .wait: break
        case .send(let bytes): self.link.send([.data(self.id, bytes)])
        case .verifyChain(let chain):
            let leaf = try Certificate(derEncoded: try #require(chain.first))
            let der = try leaf.publicKey.serializeAsPEM().derBytes
            try self.perform(try self.machine.chainVerified(try OriginPublicKey(subjectPublicKeyInfo: der)))
        case .established(let bytes, let session):
            if let bytes { self.link.send([.data(self.id, bytes)]) }
            self.session = session
        }
    }

    /// nil: the stream or its link has ended.
    private mutating func record() async throws -> NativeFrame? {
        while true {
            if let record = try self.reader.next() { return record }
            switch await self.link.next() {
            case .data(self.id, let bytes): self.reader.receive(bytes)
            case .end, .close, .reset, nil: return nil
            default: break
            }
        }
    }

    /// Sends this, and the end of its data in the client's own records.
    mutating func send(last text: String) throws {
        var session = try #require(self.session)
        var bytes = try session.send(ByteBuffer(string: text))
        if let end = try session.end() { bytes.writeImmutableBuffer(end) }
        self.session = session
        self.link.send([.data(self.id, bytes)])
    }

    /// What the application says, up to its end in the origin's own records.
    mutating func receiveToEnd() async throws -> String {
        var text = ""
        while let record = try await self.record() {
            guard case .data(let bytes)? = try self.session?.receive(record) else { return text }
            text += String(buffer: bytes)
        }
        throw NeverHappened(what: "the end of the application's data")
    }
}
