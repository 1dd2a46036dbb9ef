import Admission
import CacheStorage
import Channels
import EdgeHTTP
import EdgeModel
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PrivateAuthority
import Synchronization
import TLSWire
import Telemetry
import TestWire
import Testing

/// A proxy between test clients and a scripted origin, all on loopback.
struct ProxyBench {
    let proxy: any Channel
    let origin: any Channel
    let connections: Counter
    let site: ProxySite
    let clientTLS: NIOSSLContext?

    static let host = "www.example.test"

    /// - Parameter script: what the origin does on each connection; the number counts connections from 1.
    static func run(
        limits: ProxyLimits = ProxyLimits(), tls: Bool = false, http2: Bool = false,
        adjust: @escaping (inout OriginConfiguration) -> Void = { _ in },
        originTLS: NIOSSLContext? = nil, children: Children? = nil, trustedProxies: [IPNetwork] = [],
        cache: SiteCacheConfiguration? = nil,
        store: ResponseStore? = nil, clock: (@Sendable () -> Int64)? = nil,
        network: @escaping @Sendable () -> ClientNetwork? = { nil },
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        resolver: (any Resolver & Sendable)? = nil,
        accessLog: AccessLogWriter? = nil, naming: RequestNaming = .off,
        origin script: @escaping @Sendable (Wire, Int) async throws -> Void,
        test: (ProxyBench) async throws -> Void
    ) async throws {
        let connections = Counter()
        let origin = try await Wire.listen(tls: originTLS) { wire, number in
            _ = connections.next()
            try await script(wire, number)
        }
        let port = try #require(origin.localAddress?.port)
        var configuration = OriginConfiguration(
            scheme: originTLS == nil ? .http : .https, host: "127.0.0.1", port: port, connectTimeout: .seconds(5),
            responseTimeout: .seconds(20))
        adjust(&configuration)
        let site = try ProxySite(
            name: Self.host, domains: [try ServerNamePattern(Self.host)], edgeName: "bench", origin: configuration,
            limits: limits, trustedProxies: trustedProxies, accessLog: accessLog, naming: naming, cache: cache,
            store: store, clock: clock, group: group,
            resolver: resolver)
        var serverTLS: NIOSSLContext?
        var clientTLS: NIOSSLContext?
        if tls { (serverTLS, clientTLS) = try Self.tls(for: Self.host) }
        let serverName = try ServerName(Self.host)
        let proxy = try await ServerBootstrap(group: group)
            .childChannelOption(.socketOption(.so_sndbuf), value: 32768)
            .childChannelInitializer { [serverTLS] channel in
                children?.add(channel)
                return channel.eventLoop.makeCompletedFuture {
                    if let serverTLS {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLServerHandler(context: serverTLS), name: ServerTLS.handlerName)
                    }
                    var logger = Logger(label: "proxy") { _ in SwiftLogNoOpLogHandler() }
                    logger.logLevel = .debug
                    var context = ProxyContext(
                        site: site, serverName: serverName, clientAddress: channel.remoteAddress, logger: logger)
                    context.network = network()
                    context.mode = "handoff"
                    context.tls = ClientTLS(version: "TLSv1.3")
                    context.connection = 7
                    if http2 {
                        try HTTP2Proxy.install(on: channel, context: context)
                    } else {
                        try HTTP1Proxy.install(on: channel, context: context)
                    }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let bench = ProxyBench(
            proxy: proxy, origin: origin, connections: connections, site: site, clientTLS: clientTLS)
        do {
            try await test(bench)
        } catch {
            try? await bench.close()
            throw error
        }
        try await bench.close()
    }

    private func close() async throws {
        self.site.shutdown()
        try await self.proxy.close()
        try? await self.origin.close()
    }

    /// Contexts for a server with a fresh certificate for `name`, and for a client that trusts it.
    static func tls(for name: String) throws -> (server: NIOSSLContext, client: NIOSSLContext) {
        let (authority, certificate) = try Self.certificate(for: name)
        var client = TLSConfiguration.makeClientConfiguration()
        client.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.utf8)))
        return (try Self.server(certificate), try NIOSSLContext(configuration: client))
    }

    static func certificate(for name: String) throws -> (authorityPEM: String, IssuedCertificate) {
        let authority = try TestSiteAuthority(name: "test sites")
        return (authority.certificatePEM, try authority.issueSite(domains: [name], keyType: .p256))
    }

    static func server(_ certificate: IssuedCertificate) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.chainPEM.utf8))
        let key = try NIOSSLPrivateKey(bytes: Array(certificate.keyPEM.utf8), format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key)))
    }

    func client(reading: Bool = true) async throws -> Wire {
        let address = try #require(self.proxy.localAddress)
        return try await Wire.connect(address, tls: self.clientTLS.map { ($0, Self.host) }, reading: reading)
    }

    static func request(_ line: String, _ fields: String..., body: String = "") -> String {
        "\(line)\r\nHost: \(Self.host)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n" + body
    }
}

/// The proxy's connections to clients.
final class Children: Sendable {
    private let channels = Mutex<[any Channel]>([])

    func add(_ channel: any Channel) { self.channels.withLock { $0.append(channel) } }

    var all: [any Channel] { self.channels.withLock { $0 } }
}

/// A message as a test argument, shown in short.
struct Message: CustomTestStringConvertible, Sendable {
    var text: String
    var testDescription: String { String(self.text.prefix(120).map { $0.isNewline ? "~" : $0 }) }
}
