import EdgeModel
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Settings
import TLSWire
import Telemetry

/// Connects to a site's origin, with TLS where the site asks for it, and closes again.
struct OriginCheck {
    struct Failure: Error {
        var text: String
        var remedy: String?
    }

    let loop: any EventLoop

    /// TCP alone.
    func reach(_ endpoint: SocketEndpoint, limit: TimeAmount) async throws(Failure) {
        do {
            let channel = try await self.bootstrap(limit).connect(host: endpoint.host, port: endpoint.port).get()
            channel.close(promise: nil)
        } catch {
            throw self.unreachable(endpoint, error)
        }
    }

    /// TCP, and for https a TLS handshake that verifies the origin's certificate as the edge would.
    func reach(_ origin: OriginConfiguration) async throws(Failure) {
        let endpoint = SocketEndpoint(origin)
        guard origin.scheme == .https else { return try await self.reach(endpoint, limit: origin.connectTimeout) }
        let roots: String? = if case .file(let path) = origin.trustRoots { path } else { nil }
        let context: NIOSSLContext
        do {
            var configuration = TLSConfiguration.makeClientConfiguration()
            if let roots { configuration.trustRoots = .file(roots) }
            configuration.applicationProtocols = ["http/1.1"]
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw Failure(
                text: "the origin's roots \(roots ?? "") cannot be used: \(error)",
                remedy: "Store the authority's certificate as PEM.")
        }
        let name: String? = origin.tlsName ?? (endpoint.isIPAddress ? nil : endpoint.host)
        let shaken = self.loop.makePromise(of: Void.self)
        let connected: EventLoopFuture<any Channel> = self.bootstrap(origin.connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOSSLClientHandler(context: context, serverHostname: name), HandshakeWatch(shaken),
                    ])
                }
            }
            .connect(host: endpoint.host, port: endpoint.port)
        let channel: any Channel
        do { channel = try await connected.get() } catch {
            shaken.fail(error)
            throw self.unreachable(endpoint, error)
        }
        let timer = self.loop.scheduleTask(in: origin.connectTimeout) {
            shaken.fail(ChannelError.connectTimeout(.zero))
        }
        defer {
            timer.cancel()
            channel.close(promise: nil)
        }
        do {
            try await shaken.futureResult.get()
        } catch {
            throw Failure(
                text: "the origin \(origin.text) does not pass TLS verification as \(name ?? endpoint.host): \(error)",
                remedy: "Its certificate must be valid, show that name (\"name\" sets another), "
                    + "and be signed by the system's authorities or those in \"roots\".")
        }
    }

    private func bootstrap(_ limit: TimeAmount) -> ClientBootstrap {
        ClientBootstrap(group: self.loop).connectTimeout(limit)
    }

    private func unreachable(_ endpoint: SocketEndpoint, _ error: any Error) -> Failure {
        Failure(
            text: "cannot connect to the origin \(endpoint): \(SystemError.text(error))",
            remedy: "Is it up, and does it listen on that address?")
    }
}

/// Completes a promise when the TLS handshake does.
private final class HandshakeWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let promise: EventLoopPromise<Void>

    init(_ promise: EventLoopPromise<Void>) {
        self.promise = promise
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent { self.promise.succeed(()) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.promise.fail(ChannelError.eof)
        context.fireChannelInactive()
    }
}
