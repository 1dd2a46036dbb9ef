import NIOCore
import NIOPosix

/// Connects to what stands behind a site.
enum ApplicationDialer {
    /// A connection with `autoRead` off that keeps the two directions apart.
    static func dial(
        _ application: ApplicationConfiguration, timeout: TimeAmount, on eventLoop: any EventLoop
    ) -> EventLoopFuture<any Channel> {
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(timeout)
            .channelOption(.autoRead, value: false)
            .channelOption(.allowRemoteHalfClosure, value: true)
        switch application.address {
        case .tcp(let host, let port):
            let tcp: ClientBootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
            // An address is not to be looked up: that is another thread's work, which costs more than the connection.
            if let address = try? SocketAddress(ipAddress: host, port: port) { return tcp.connect(to: address) }
            return tcp.connect(host: host, port: port)
        case .unix(let path): return bootstrap.connect(unixDomainSocketPath: path)
        }
    }
}
