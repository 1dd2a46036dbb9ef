public import ACME
public import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Why a request got no answer.
public struct DirectoryUnreachable: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String

    init(_ description: String) { self.description = description }
}

/// Carries requests to ACME directories: HTTPS with verification, a connection for each, bounds on length and time.
///
/// Redirects are not followed: RFC 8555 knows none, and a signed request is for one URL.
public struct DirectoryClient: Sendable {
    private let group: any EventLoopGroup
    private let context: NIOSSLContext
    private let timeout: TimeAmount
    private let userAgent: String

    /// - Parameters:
    ///   - roots: A file with the certificates to trust, PEM; nil: those of the system.
    ///   - timeout: For a request, from connecting to the last byte of the answer.
    /// - Throws: ``DirectoryUnreachable`` if the roots cannot be used.
    public init(
        group: any EventLoopGroup, roots: String?, userAgent: String, timeout: TimeAmount = .seconds(30)
    ) throws(DirectoryUnreachable) {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        if let roots { configuration.trustRoots = .file(roots) }
        do { self.context = try NIOSSLContext(configuration: configuration) } catch {
            throw DirectoryUnreachable(
                "the root certificates\(roots.map { " in \($0)" } ?? "") cannot be used: \(error)")
        }
        self.group = group
        self.timeout = timeout
        self.userAgent = userAgent
    }

    public func send(_ request: ACMERequest) async throws(DirectoryUnreachable) -> ACMEResponse {
        guard let url = HTTPSURL(request.url) else { throw DirectoryUnreachable("a URL that cannot be asked") }
        let loop = self.group.any()
        let answer = loop.makePromise(of: ACMEResponse.self)
        let deadline = loop.scheduleTask(in: self.timeout) {
            answer.fail(DirectoryUnreachable("\(url.authority) did not answer in time"))
        }
        defer { deadline.cancel() }
        let head = self.head(of: request, url)
        let connecting = ClientBootstrap(group: loop).connectTimeout(min(self.timeout, .seconds(10)))
            .channelInitializer { [context] channel in
                channel.eventLoop.makeCompletedFuture {
                    let tls = try NIOSSLClientHandler(context: context, serverHostname: Self.serverName(url.host))
                    try channel.pipeline.syncOperations.addHandlers(
                        tls, HTTPRequestEncoder(),
                        ByteToMessageHandler(
                            HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .drop)
                        ),
                        AnswerCollector(head, ByteBuffer(bytes: request.body), url.authority, answer))
                }
            }
            .connect(host: url.host, port: url.port)
        connecting.whenFailure { error in
            answer.fail(DirectoryUnreachable("\(url.authority): \(Self.text(error))"))
        }
        answer.futureResult.whenComplete { _ in
            connecting.whenSuccess { $0.close(promise: nil) }
        }
        do {
            return try await withTaskCancellationHandler {
                try await answer.futureResult.get()
            } onCancel: {
                answer.fail(DirectoryUnreachable("the key holder ends"))
            }
        } catch {
            throw error as? DirectoryUnreachable ?? DirectoryUnreachable("\(url.authority): \(Self.text(error))")
        }
    }

    private func head(of request: ACMERequest, _ url: HTTPSURL) -> HTTPRequestHead {
        var fields = HTTPHeaders([
            ("Host", url.authority), ("User-Agent", self.userAgent), ("Connection", "close"),
            ("Accept-Language", "en"),
        ])
        if request.method == .post {
            fields.add(name: "Content-Type", value: "application/jose+json")
            fields.add(name: "Content-Length", value: "\(request.body.count)")
        }
        return HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: request.method.rawValue), uri: url.target, headers: fields)
    }

    /// nil for an IP address, which is no name to send; the library then looks for the address in the certificate.
    private static func serverName(_ host: String) -> String? {
        (try? SocketAddress(ipAddress: host, port: 0)) == nil ? host : nil
    }

    /// The library's reasons in short.
    static func text(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { Self.text($0.error) } ?? error.dnsAError.map { "\($0)" } ?? "no address"
        case let error as IOError: "\(error.errnoCode == ECONNREFUSED ? "connection refused" : "\(error)")"
        default: String("\(error)".prefix(300))
        }
    }
}

/// Sends one request and collects its answer, within bounds.
private final class AnswerCollector: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPRequestHead
    private let body: ByteBuffer
    private let server: String
    private let answer: EventLoopPromise<ACMEResponse>
    private var response: ACMEResponse?

    init(_ request: HTTPRequestHead, _ body: ByteBuffer, _ server: String, _ answer: EventLoopPromise<ACMEResponse>) {
        self.request = request
        self.body = body
        self.server = server
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        // Written before the handshake is done: the TLS handler keeps it until then, and drops it if that fails.
        context.write(self.wrapOutboundOut(.head(self.request)), promise: nil)
        if self.body.readableBytes > 0 {
            context.write(self.wrapOutboundOut(.body(.byteBuffer(self.body))), promise: nil)
        }
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            var fields: [String: String] = [:]
            for (name, value) in head.headers { fields[name.lowercased()] = value }
            self.response = ACMEResponse(status: Int(head.status.code), fields: fields)
        case .body(let bytes):
            guard let length = self.response?.body.count, length + bytes.readableBytes <= ACMEResponse.longestBody
            else {
                self.fail("an answer of more than \(ACMEResponse.longestBody) bytes", context)
                return
            }
            self.response?.body.append(contentsOf: bytes.readableBytesView)
        case .end:
            if let response = self.response { self.answer.succeed(response) }
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // After an answer this changes nothing.
        self.answer.fail(DirectoryUnreachable("\(self.server) closed the connection before its answer was complete"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(DirectoryClient.text(error), context)
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        self.answer.fail(DirectoryUnreachable("\(self.server): \(reason)"))
        context.close(promise: nil)
    }
}
