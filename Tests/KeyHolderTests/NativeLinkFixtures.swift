import Admission
import KeyProtocol
import NIOCore
import NIOPosix
import NIOSSL
import NativeHandshake
import PeerLink
import PrivateAuthority
import StreamWire
import SwiftASN1
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
    /// What may be sent, bytes.
    private var credit = 4096
    private var pings: UInt64 = 0

    static func hello(_ name: String) throws -> ByteBuffer {
        var machine = NativeClientMachine(variant: .originDerived, serverName: try ServerName(name))
        return try machine.start()
    }

    /// Opens the stream and shakes hands. No other stream is to be in use meanwhile.
    init(_ link: NativeTestLink, _ id: StreamFrame.ID, _ name: String) async throws {
        self.link = link
        self.id = id
        self.machine = NativeClientMachine(variant: .originDerived, serverName: try ServerName(name))
        link.send([try NativeTestLink.open(id)])
        self.send(try self.machine.start())
        while self.session == nil {
            guard let frame = try await self.record() else { throw NeverHappened(what: "the handshake's end") }
            try self.perform(try self.machine.receive(frame))
        }
    }

    private mutating func perform(_ action: NativeClientMachine.Action) throws {
        switch action {
        case .wait: break
        case .send(let bytes): self.send(bytes)
        case .verifyChain(let chain):
            let leaf = try Certificate(derEncoded: try #require(chain.first))
            let der = try leaf.publicKey.serializeAsPEM().derBytes
            try self.perform(try self.machine.chainVerified(try OriginPublicKey(subjectPublicKeyInfo: der)))
        case .established(let bytes, let session):
            if let bytes { self.send(bytes) }
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
            case .accept(self.id, let window), .window(self.id, let window): self.credit += Int(window)
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
        self.send(bytes)
    }

    private mutating func send(_ bytes: ByteBuffer) {
        self.credit -= bytes.readableBytes
        var bytes = bytes
        while let part = bytes.readSlice(length: min(bytes.readableBytes, StreamFrame.maximumBody)),
            part.readableBytes > 0
        {
            self.link.send([.data(self.id, part)])
        }
    }

    /// Sends as much as is taken of an application that does not read, and has room for an end.
    ///
    /// - Returns: bytes of data.
    mutating func fill() async throws -> Int {
        var session = try #require(self.session)
        var count = 0
        var attempts = 0
        while attempts < 5 {
            while self.credit > 16_384 {
                let part = ByteBuffer(repeating: 7, count: 8192)
                self.send(try session.send(part))
                count += 8192
                attempts = 0
            }
            try await self.settle()
            attempts += 1
            try await Task.sleep(for: .milliseconds(50))
        }
        self.session = session
        return count
    }

    /// Everything that was sent has been read by the key holder.
    mutating func settle() async throws {
        self.pings += 1
        self.link.send([.ping(self.pings)])
        while let frame = await self.link.next() {
            switch frame {
            case .pong(self.pings): return
            case .window(self.id, let window): self.credit += Int(window)
            default: break
            }
        }
        throw NeverHappened(what: "a pong")
    }

    /// What the application says, up to its end in the origin's own records.
    mutating func receiveToEnd() async throws -> String {
        var text = ""
        while let record = try await self.record() {
            var session = try #require(self.session)
            guard case .data(let bytes) = try session.receive(record) else { return text }
            self.session = session
            text += String(buffer: bytes)
        }
        throw NeverHappened(what: "the end of the application's data")
    }
}
