internal import Atomics
public import Channels
internal import FoundationEssentials
public import Logging
public import NIOCore
internal import NIOHTTP1
public import NIOPosix
internal import NIOSSL
public import ServiceLifecycle
public import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The admin port: metrics, health, and what its process adds, over plain HTTP.
///
/// `GET /` (a page for people), `GET /metrics` (Prometheus text), `GET /health/live` (200 while the process turns its event loops) and
/// `GET /health/ready` (200 or 503 with each check's outcome as JSON). Without a token there is no access control, so it
/// listens on loopback addresses only and answers only requests for such a host. With one, every request must bear it. With TLS a client
/// must have a certificate, and may look and change nothing.
public struct AdminServer: Service {
    public enum BindError: Error, Equatable, CustomStringConvertible {
        case notLoopback(String)

        public var description: String {
            switch self {
            case .notLoopback(let host):
                "without a token the admin port has no access control, so it cannot listen on \(host); use 127.0.0.1 or ::1"
            }
        }
    }

    /// Bounds on what clients can take.
    public struct Limits: Sendable {
        /// Connections at once. A further one takes the place of one that has shown no token yet; where there is none, it is closed.
        public var connections = 64
        /// Bytes that a connection may send in all.
        public var bytesPerConnection = 65_536
        public var requestsPerConnection = 100
        /// For a request to arrive, idle time included.
        public var timeout: TimeAmount = .seconds(30)

        public init() {}
    }

    let channel: any Channel
    private let name: String
    private let connections: AdminConnections
    private let logger: Logger

    /// The address that it listens on, with the port the system chose if none was given.
    public var localAddress: SocketAddress? { self.channel.localAddress }

    /// Binds the port; `run()` accepts there.
    ///
    /// - Parameters:
    ///   - host: 127.0.0.1, ::1 or localhost, or another loopback address.
    ///   - port: 0 lets the system choose.
    ///   - readiness: What `/health/ready` reports.
    ///   - endpoints: What there is beside these; each path once.
    ///   - token: What every request must bear; nil: nothing.
    ///   - tls: Has clients prove who they are, and then look without a token.
    ///   - problems: What the page for people shows of the log.
    ///   - inherited: Where a socket for the address may be already.
    /// - Throws: `BindError`, or the system's error.
    public static func bind(
        host: String, port: Int, metrics: PrometheusRegistry, readiness: [HealthCheck],
        endpoints: [AdminEndpoint] = [], token: AdminToken? = nil, tls: AdminTLS? = nil, limits: Limits = Limits(),
        problems: RecentProblems = LatchstringLogHandler.recentProblems, logger: Logger,
        inherited: InheritedListeners = InheritedListeners(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) async throws -> AdminServer {
        let field = host.contains(":") ? "[\(host)]" : host
        guard token != nil || tls != nil || AdminRouter.isLocal(host: field) else { throw BindError.notLoopback(host) }
        let router = AdminRouter(
            metrics: metrics, readiness: readiness,
            endpoints: tls == nil ? endpoints : endpoints.filter { $0.method == "GET" }, token: token,
            isForLooking: tls != nil, problems: problems, clock: { Date().timeIntervalSince1970 })
        let connections = AdminConnections(maximum: limits.connections)
        // A name would be looked up, and could be answered with any address.
        let address = host.lowercased() == "localhost" ? "127.0.0.1" : host
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let gate = AcceptGate(address: "\(field):\(port)", logger: logger)
                    try channel.pipeline.syncOperations.addHandler(gate)
                }
            }
            .childChannelInitializer { child in
                guard connections.add(child) else { return child.close() }
                return child.eventLoop.makeCompletedFuture {
                    var decoding = NIOHTTPDecoderLimitConfiguration()
                    decoding.maxHeaderFieldSize = 16_384
                    decoding.maxHeaderListSize = 16_384
                    decoding.maxHeaderFieldCount = 64
                    let pipeline = child.pipeline.syncOperations
                    if let tls { try pipeline.addHandlers(tls.handlers()) }
                    try pipeline.addHandler(ByteLimitHandler(maximumBytes: limits.bytesPerConnection))
                    try pipeline.addHandler(HTTPResponseEncoder())
                    try pipeline.addHandler(
                        ByteToMessageHandler(
                            HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding)))
                    try pipeline.addHandler(HTTPServerPipelineHandler())
                    try pipeline.addHandler(HTTPServerProtocolErrorHandler())
                    try pipeline.addHandler(
                        AdminHandler(
                            router: router, timeout: limits.timeout, maximumRequests: limits.requestsPerConnection
                        ) { connections.admit($0) })
                }
            }
        var sockets = inherited.take(host: host, port: port)[...]
        let channel: any Channel
        if let socket = sockets.popFirst() {
            channel = try await bootstrap.listen(at: socket.descriptor)
        } else {
            channel = try await bootstrap.bind(host: address, port: port).get()
        }
        for socket in sockets { close(socket.descriptor) }
        return AdminServer(
            channel: channel, name: InheritedListeners.name(host: host, port: port), connections: connections,
            logger: logger)
    }

    // MARK: A successor

    /// The socket once more, for another process; nil if it is closed. The descriptor is the caller's.
    public func passed() async -> PassedListener? {
        await ListeningChannel.descriptor(of: self.channel).map { PassedListener(descriptor: $0, name: self.name) }
    }

    /// Leaves new connections in the socket's queue, for another process or for later.
    public func pause(_ isPaused: Bool) async {
        // Fails where the socket is closed already.
        try? await self.channel.setOption(.autoRead, value: !isPaused).get()
    }

    /// Serves until the task is cancelled or the service group shuts down.
    public func run() async throws {
        self.logger.info(
            "admin port open", metadata: ["address": "\(PeerText(self.localAddress))"])
        let channel = self.channel
        await self.pause(false)
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await channel.closeFuture.get()
        } onCancelOrGracefulShutdown: {
            channel.close(promise: nil)
        }
        self.connections.closeAll()
    }
}
