import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// One real HTTPS request on a new connection, with full verification of chain and name.
struct DemoRequest: Sendable {
    struct Outcome: Sendable {
        var version: String
        var status: Int
        var body: String
        /// From the first packet to the end of the response.
        var duration: Duration
    }

    var host: String
    /// Where the edge listens.
    var port: Int
    var version: TLSVersion
    var roots: [NIOSSLCertificate]

    /// - Throws: the TLS library's error if the certificate does not verify, and whatever else goes wrong.
    func run(on group: any EventLoopGroup) async throws -> Outcome {
        let (outcome, channel) = try await exchange(on: group, keepOpen: false, keyLog: nil)
        channel.close(promise: nil)
        return outcome
    }

    /// The same, on a connection that stays open and whose secrets are known.
    func open(on group: any EventLoopGroup) async throws -> DemoSession {
        let keyLog = DemoKeyLog()
        let (outcome, channel) = try await exchange(on: group, keepOpen: true, keyLog: keyLog)
        return DemoSession(channel: channel, version: outcome.version, keyLog: keyLog)
    }

    private func exchange(
        on group: any EventLoopGroup, keepOpen: Bool, keyLog: DemoKeyLog?, timeout: TimeAmount = .seconds(10)
    ) async throws -> (Outcome, any Channel) {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .fullVerification
        configuration.trustRoots = .certificates(roots)
        configuration.minimumTLSVersion = version
        configuration.maximumTLSVersion = version
        configuration.applicationProtocols = ["http/1.1"]
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .rsaPssRsaeSha256, .rsaPssRsaeSha384, .rsaPssRsaeSha512, .ed25519,
            .rsaPkcs1Sha256, .ecdsaSecp384R1Sha384,
        ]
        if let keyLog { configuration.keyLogCallback = { keyLog.receive($0) } }
        let context = try NIOSSLContext(configuration: configuration)
        let started = ContinuousClock.now
        let loop = group.next()
        let promise = loop.makePromise(of: (String, Int, String).self)
        let host = host
        let connecting = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: host))
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(ResponseCollector(host: host, keepOpen: keepOpen, promise: promise))
                }
            }
            .connect(host: "127.0.0.1", port: port)
        connecting.whenFailure { promise.fail($0) }
        let timer = loop.scheduleTask(in: timeout) { promise.fail(DemoFailure.unexpectedOutput("no answer in time")) }
        defer { timer.cancel() }
        do {
            let (negotiated, status, body) = try await withTaskCancellationHandler {
                try await promise.futureResult.get()
            } onCancel: {
                promise.fail(CancellationError())
            }
            let outcome = Outcome(
                version: negotiated, status: status, body: body, duration: ContinuousClock.now - started)
            return (outcome, try await connecting.get())
        } catch {
            connecting.whenSuccess { $0.close(promise: nil) }
            throw error
        }
    }
}

/// Sends one GET when the connection is up, and gathers the answer.
private final class ResponseCollector: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private static let largestBody = 1 << 20
    private let host: String
    private let keepOpen: Bool
    private let promise: EventLoopPromise<(String, Int, String)>
    private var version = ""
    private var status = 0
    private var body = ByteBuffer()

    init(host: String, keepOpen: Bool, promise: EventLoopPromise<(String, Int, String)>) {
        self.host = host
        self.keepOpen = keepOpen
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
        head.headers.add(name: "host", value: host)
        head.headers.add(name: "user-agent", value: "latchstring-demo")
        if !keepOpen { head.headers.add(name: "connection", value: "close") }
        // The TLS handler keeps it until the handshake is complete and the certificate verified.
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            version = Self.name(of: try? context.channel.pipeline.syncOperations.nioSSL_tlsVersion())
            status = Int(head.status.code)
        case .body(var part):
            body.writeBuffer(&part)
            if body.readableBytes > Self.largestBody { context.close(promise: nil) }
        case .end:
            promise.succeed((version, status, String(buffer: body)))
            if !keepOpen { context.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(DemoFailure.unexpectedOutput("the connection was closed before the answer was complete"))
        context.fireChannelInactive()
    }

    private static func name(of version: TLSVersion?) -> String {
        switch version {
        case .tlsv12: "1.2"
        case .tlsv13: "1.3"
        default: "?"
        }
    }
}
