import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import PrivateAuthority

/// A TLS server on loopback, for one test.
struct TestServer {
    enum Behaviour: Sendable {
        /// An HTTPS server that answers with this status and text.
        case https(NIOSSLContext, HTTPResponseStatus, String)
        /// An HTTPS server that promises more of a body than it sends.
        case breakingOff(NIOSSLContext)
        /// Answers the client's first bytes with these, and closes.
        case bytes([UInt8])
    }

    let channel: any Channel
    var address: String { "127.0.0.1:\(channel.localAddress?.port ?? 0)" }

    init(_ behaviour: Behaviour) async throws {
        channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline: ChannelPipeline.SynchronousOperations = channel.pipeline.syncOperations
                    switch behaviour {
                    case .https(let context, let status, let text):
                        try pipeline.addHandler(NIOSSLServerHandler(context: context))
                        try pipeline.configureHTTPServerPipeline()
                        try pipeline.addHandler(Responder(status: status, text: text, promised: text.utf8.count))
                    case .breakingOff(let context):
                        try pipeline.addHandler(NIOSSLServerHandler(context: context))
                        try pipeline.configureHTTPServerPipeline()
                        try pipeline.addHandler(Responder(status: .ok, text: "part", promised: 1000))
                    case .bytes(let bytes):
                        try pipeline.addHandler(FixedAnswer(bytes))
                    }
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
    }

    static func context(
        _ issued: IssuedCertificate, minimum: NIOSSL.TLSVersion = .tlsv12, curves: [NIOTLSCurve]? = nil
    ) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(issued.chainPEM.utf8))
        let key = try NIOSSLPrivateKey(bytes: Array(issued.keyPEM.utf8), format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = minimum
        configuration.curves = curves
        configuration.applicationProtocols = ["http/1.1"]
        return try NIOSSLContext(configuration: configuration)
    }

    func stop() async throws {
        try await channel.close()
    }
}

private final class Responder: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let status: HTTPResponseStatus
    private let text: String
    private let promised: Int
    private var isHead = false

    init(status: HTTPResponseStatus, text: String, promised: Int) {
        self.status = status
        self.text = text
        self.promised = promised
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            isHead = head.method == .HEAD
        case .body: break
        case .end:
            let head = HTTPResponseHead(
                version: .http1_1, status: status, headers: ["Content-Length": "\(promised)", "Connection": "close"])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            if !isHead { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil) }
            if isHead || promised == text.utf8.count {
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            } else {
                context.flush()
            }
            context.close(promise: nil)
        }
    }
}

private final class FixedAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let promise: EventLoopPromise<Void> = context.eventLoop.makePromise()
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: promise)
        context.close(mode: .output, promise: nil)
        promise.futureResult.whenFailure { _ in }
    }
}
