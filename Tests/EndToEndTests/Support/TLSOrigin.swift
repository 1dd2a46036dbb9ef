import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// A small HTTPS site of its own, in the tests' process: what relay sites lead to.
final class TLSOrigin: Sendable {
    struct Page: Sendable {
        var body: String
        var type: String = "text/plain"
        var cacheControl: String?
    }

    let port: UInt16
    private let listener: any Channel

    /// Serves the text, for every request, with a certificate of the workspace's (`DOMAIN.pem`, `DOMAIN.key`).
    convenience init(domain: String, text: String, in workspace: Workspace) async throws {
        try await self.init(domain: domain, in: workspace) { _ in Page(body: text) }
    }

    /// - Parameter page: what is at a path.
    init(domain: String, in workspace: Workspace, page: @escaping @Sendable (String) -> Page) async throws {
        let chain = try NIOSSLCertificate.fromPEMFile(workspace.path("\(domain).pem")).map {
            NIOSSLCertificateSource.certificate($0)
        }
        let key = try NIOSSLPrivateKey(file: workspace.path("\(domain).key"), format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        let context = try NIOSSLContext(configuration: configuration)
        self.listener = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLServerHandler(context: context))
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(Answer(page: page))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.port = UInt16(self.listener.localAddress?.port ?? 0)
    }

    func stop() async throws {
        try await self.listener.close().get()
    }

    private final class Answer: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let page: @Sendable (String) -> Page
        private var path = "/"

        init(page: @escaping @Sendable (String) -> Page) {
            self.page = page
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.unwrapInboundIn(data) {
            case .head(let head): self.path = head.uri
            case .body: break
            case .end: self.answer(context)
            }
        }

        private func answer(_ context: ChannelHandlerContext) {
            let page = self.page(self.path)
            var headers: HTTPHeaders = ["content-length": "\(page.body.utf8.count)", "content-type": page.type]
            if let cacheControl = page.cacheControl { headers.add(name: "cache-control", value: cacheControl) }
            let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
            context.write(self.wrapOutboundOut(.head(head)), promise: nil)
            context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: page.body)))), promise: nil)
            context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
