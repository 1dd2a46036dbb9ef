import Admission
import Channels
import EdgeHTTP
import EdgeModel
import EdgeTLS
import KeyProtocol
import Logging
import NIOCore
import PeerLink
import RecordLayer
import TLSEngine
import TLSWire
import Telemetry

/// What the connections of one site share on one event loop where TLS ends at the edge.
final class TerminatedSite {
    let site: Site
    let configuration: TerminationConfiguration
    /// What clients are offered (ALPN), preferred first.
    let applicationProtocols: [String]
    /// The key holder of the site.
    let pool: KeyHolderPool
    let report: HandshakeReport
    let proxy: ProxySite

    init(
        site: Site, configuration: TerminationConfiguration, pool: KeyHolderPool, report: HandshakeReport,
        proxy: ProxySite
    ) {
        self.site = site
        self.configuration = configuration
        self.applicationProtocols = configuration.applicationProtocols
        self.pool = pool
        self.report = report
        self.proxy = proxy
    }

    /// Starts HTTP above TLS, once the handshake is done. Throws if the channel is closed.
    ///
    /// - Parameter applicationProtocol: what was negotiated (ALPN), one of ``EdgeProtocols``; nil if nothing was.
    func startHTTP(
        on channel: any Channel, applicationProtocol: String?, name: ServerName, of handOver: RoutedClient,
        logger: Logger
    ) throws {
        var context = ProxyContext(
            site: self.proxy, serverName: name, clientAddress: handOver.client.source,
            connection: handOver.connection, logger: logger)
        context.place = handOver.place
        context.network = handOver.network
        context.mode = self.site.mode.word.rawValue
        if self.proxy.logsRequests { context.tls = Self.tls(of: channel) }
        if applicationProtocol == EdgeProtocols.http2 {
            try HTTP2Proxy.install(on: channel, context: context)
        } else {
            try HTTP1Proxy.install(on: channel, context: context)
        }
    }

    /// What the client agreed on, as far as it is known here.
    private static func tls(of channel: any Channel) -> ClientTLS? {
        guard let records = channel.pipeline.syncOperations.serverTLS?.handler as? RecordHandler else { return nil }
        return ClientTLS(
            version: records.suite.version == .tls13 ? "TLSv1.3" : "TLSv1.2",
            suite: TLSNames.cipherSuite(records.suite.rawValue),
            group: records.facts?.group.map { TLSNames.group($0) }, resumed: records.facts?.resumed)
    }
}
