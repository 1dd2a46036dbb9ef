public import NIOCore
import NIOHTTP1
public import NIOPosix
import NIOSSL
import Synchronization

/// A ``TestDirectory`` on a loopback port, over HTTPS with a certificate of the directory's own issuer.
public final class TestDirectoryServer: Sendable {
    /// What the server does instead of answering.
    public enum Mood: Sendable {
        case answers, silent, endless, closes
    }

    public let directory: TestDirectory
    public let port: Int
    private let channel: any Channel
    private let mood: MoodBox

    public var url: String { "\(self.directory.base)/directory" }

    public func set(_ mood: Mood) { self.mood.value.withLock { $0 = mood } }

    /// - Parameter port: 0: any.
    public init(
        port: Int = 0, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        externalAccount: (kid: String, key: [UInt8])? = nil,
        check: @escaping @Sendable (_ kind: String, _ name: String, _ keyAuthorization: String) -> Bool = { _, _, _ in
            true
        }
    ) throws {
        let mood = MoodBox()
        let held = Held()
        let channel = try ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let (directory, context) = held.value.withLock({ $0 }) else { throw ChannelError.eof }
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLServerHandler(context: context))
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(DirectoryHandler(directory, mood))
                }
            }
            .bind(host: "127.0.0.1", port: port).wait()
        let bound = channel.localAddress?.port ?? 0
        let directory = try TestDirectory(
            base: "https://localhost:\(bound)", externalAccount: externalAccount, check: check)
        let (chain, key) = try directory.serverCertificate()
        let configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(chain.utf8)).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)))
        let context = try NIOSSLContext(configuration: configuration)
        held.value.withLock { $0 = (directory, context) }
        self.directory = directory
        self.port = bound
        self.channel = channel
        self.mood = mood
    }

    public func stop() { try? self.channel.close().wait() }
}

private final class MoodBox: Sendable {
    let value = Mutex(TestDirectoryServer.Mood.answers)
}

private final class Held: Sendable {
    let value = Mutex<(TestDirectory, NIOSSLContext)?>(nil)
}

/// One request for each connection.
private final class DirectoryHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let directory: TestDirectory
    private let mood: MoodBox
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    init(_ directory: TestDirectory, _ mood: MoodBox) {
        self.directory = directory
        self.mood = mood
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(var bytes): self.body.writeBuffer(&bytes)
        case .end: self.answer(context)
        }
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard let head = self.head else { return }
        switch self.mood.value.withLock({ $0 }) {
        case .answers: break
        case .silent: return
        case .closes: return context.close(promise: nil)
        case .endless:
            let page = TestDirectory.Reply(status: 200, fields: [:], body: [UInt8](repeating: 0x20, count: 1 << 20))
            return self.send(page, head, context)
        }
        let (method, url, body) = (
            head.method.rawValue, self.directory.base + head.uri, Array(self.body.readableBytesView)
        )
        // What RFC 8555 section 6.1 and 6.2 ask of clients.
        guard head.headers.contains(name: "User-Agent"),
            method != "POST" || head.headers["Content-Type"] == ["application/jose+json"]
        else { return self.send(TestDirectory.Reply(status: 415, fields: [:], body: []), head, context) }
        let (directory, loopBound) = (self.directory, NIOLoopBound((self, context), eventLoop: context.eventLoop))
        NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) {
            directory.handle(method: method, url: url, body: body)
        }.whenSuccess { reply in
            let (handler, context) = loopBound.value
            handler.send(reply, head, context)
        }
    }

    private func send(_ reply: TestDirectory.Reply, _ request: HTTPRequestHead, _ context: ChannelHandlerContext) {
        var fields = HTTPHeaders(reply.fields.map { ($0.key, $0.value) })
        fields.add(name: "Connection", value: "close")
        fields.add(name: "Content-Length", value: "\(reply.body.count)")
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: reply.status), headers: fields)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD {
            context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: reply.body)))), promise: nil)
        }
        let channel = context.channel
        context.writeAndFlush(self.wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}
