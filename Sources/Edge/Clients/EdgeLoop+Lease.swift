import Channels
import EdgeModel
import EdgeTLS
import NIOCore
import TLSWire

/// A client whose site is leased.
struct LeasedClient {
    var handOver: RoutedClient
    /// The name that it asked for, or that of the default site.
    var name: ServerName
    var site: TerminatedSite
    var domain: TerminatedDomain
    var served: ServedDomain
}

extension EdgeLoop {
    /// Serves a client of a site whose TLS ends at this edge, as soon as the site's lease is there. Without a lease the client gets an
    /// alert, whether it would resume a session or not: the hello is as far as it gets.
    func serveLeased(_ handOver: RoutedClient, by serve: @escaping (LeasedClient) -> Void) {
        guard let site = self.terminatedSites[handOver.site.name],
            let name = handOver.serverName ?? self.configuration.defaultSite,
            let domain = self.domains.value(for: name)
        else { return handOver.channel.close(promise: nil) }
        func client(_ served: ServedDomain, _ handOver: RoutedClient) -> LeasedClient {
            LeasedClient(handOver: handOver, name: name, site: site, domain: domain, served: served)
        }
        if let served = domain.current { return serve(client(served, handOver)) }
        self.wait(for: domain.served(), handOver) { result, handOver in
            switch result {
            case .success(let served): serve(client(served, handOver))
            case .failure(let error):
                site.report.failed(error, of: handOver)
                LingeringCloseHandler.begin(
                    on: handOver.channel, sending: Alert(.internalError).record(), limits: self.helloLimits.linger)
            }
        }
    }
}
