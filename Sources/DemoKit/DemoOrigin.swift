import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Telemetry

/// The demo's origin: a small site over plain HTTP and, for relayed sites, over its own TLS.
public struct DemoOrigin: Sendable {
    private let sites: [String]

    /// - Parameter sites: served over TLS, each from `SITE.pem` and `SITE.key` in the current directory.
    public init(sites: [String]) {
        self.sites = sites
    }

    /// Listens on free ports of 127.0.0.1, says on standard error which they are, and serves until the task is cancelled.
    public func run() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        try await serve(listener: "plain", tls: nil, on: group)
        try await serve(listener: "native", tls: nil, on: group)
        for site in sites {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile("\(site).pem").map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: "\(site).key", format: .pem)))
            configuration.minimumTLSVersion = .tlsv12
            configuration.applicationProtocols = ["http/1.1"]
            try await serve(listener: site, tls: try NIOSSLContext(configuration: configuration), on: group)
        }
        while true { try await Task.sleep(for: .seconds(3600)) }
    }

    private func serve(listener: String, tls: NIOSSLContext?, on group: any EventLoopGroup) async throws {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
                    try pipeline.addHandler(DemoSite(tls != nil ? .tls : listener == "native" ? .native : .plain))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        guard let port = channel.localAddress?.port else {
            throw DemoFailure.unexpectedOutput("the origin's listener has no port")
        }
        StandardError.write(
            #"{"message":"listening","listener":"\#(listener)","address":"127.0.0.1:\#(port)"}"# + "\n")
    }
}
