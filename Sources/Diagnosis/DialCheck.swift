import KeyProtocol
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import PeerLink
import Settings
import Telemetry

/// Checks that a key holder reaches the edges that it dials, as it does when it runs: connects, says who it is, and shakes
/// hands if the edge wants a link just now.
struct DialCheck {
    let settings: KeyHolderSettings
    let report: CheckReport
    /// For the edge to begin TLS. One that has all its links has no need to.
    var patience = TimeAmount.seconds(2)

    func run() async {
        guard !self.settings.dial.isEmpty else { return }
        let identity = self.settings.identity
        // What is wrong with it has been said.
        guard
            let credentials = try? PeerCredentials(
                chainFile: identity.certificate, keyFile: identity.key, authorityFile: identity.authority),
            let offer = LinkOffer(name: credentials.identity.name)
        else { return }
        for address in self.settings.dial {
            switch await self.dial(address, credentials, offer) {
            case .failure(let failure):
                self.report.fail(nil, "edge at \(address): \(failure.reason)", remedy: failure.remedy)
            case .success(.waits):
                self.report.ok(nil, "edge at \(address) is reached, and has the links that it wants, or waits")
            case .success(.isEdge(let name)):
                if self.settings.grants.contains(where: { $0.edge == name }) {
                    self.report.ok(nil, "edge at \(address) is reached, and is edge \(name)")
                } else {
                    self.report.warn(
                        nil, "edge at \(address) is edge \(name), which has no grant here",
                        remedy: "Give it a grant, or remove the address from dial.")
                }
            }
        }
    }

    fileprivate enum Found: Sendable {
        case waits
        case isEdge(String)
    }

    fileprivate struct Failure: Error {
        var reason: String
        var remedy: String?
    }

    private func dial(
        _ address: SocketEndpoint, _ credentials: PeerCredentials, _ offer: LinkOffer
    ) async -> Result<Found, Failure> {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let found = loop.makePromise(of: Found.self)
        let patience = self.patience
        do {
            let channel = try await ClientBootstrap(group: loop)
                .connectTimeout(.seconds(5))
                .channelOption(.autoRead, value: false)
                .connect(host: address.host, port: address.port).get()
            defer { channel.close(promise: nil) }
            channel.closeFuture.whenComplete { _ in
                found.fail(
                    Failure(
                        reason: "it closes connections of this key holder (\(credentials.identity.name))",
                        remedy: "Is that its port for key holders, and does its file name this one in dialled-by?"))
            }
            try await loop.submit {
                // Before there is TLS.
                channel.writeAndFlush(offer.encoded(), promise: nil)
                try channel.pipeline.syncOperations.addHandlers([
                    NIOSSLServerHandler(context: try credentials.serverContext()), EdgeHandler(found),
                ])
                try channel.syncOptions?.setOption(.autoRead, value: true)
                channel.eventLoop.assumeIsolated().scheduleTask(in: patience) { found.succeed(.waits) }
            }.get()
            return .success(try await found.futureResult.get())
        } catch let failure as Failure {
            return .failure(failure)
        } catch {
            found.fail(error)
            return .failure(
                Failure(
                    reason: SystemError.text(error),
                    remedy: "Is the edge up, and does a firewall between here and there let the connection pass?"))
        }
    }
}

/// Waits for the end of TLS, and looks at who began it.
private final class EdgeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let found: EventLoopPromise<DialCheck.Found>

    init(_ found: EventLoopPromise<DialCheck.Found>) { self.found = found }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do throws(PeerIdentityError) {
            guard let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self) else {
                throw .noCertificate
            }
            let peer = try PeerIdentity(handler: handler)
            guard peer.role == .edge else { throw .wrongRole(expected: .edge, got: peer) }
            self.found.succeed(.isEdge(peer.name))
        } catch {
            self.found.fail(DialCheck.Failure(reason: "\(error)", remedy: nil))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.found.fail(
            DialCheck.Failure(
                reason: "no TLS: \(error)", remedy: "Are both identities of one authority, and has neither expired?"))
        context.close(promise: nil)
    }
}
