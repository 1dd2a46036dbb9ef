import Admission
import Channels
import EdgeHTTP
import EdgeModel
import EdgeTLS
import NIOCore
import TLSWire
import Telemetry

extension EdgeLoop {
    /// Reads a request of a client that connected without TLS.
    func servePlain(_ channel: any Channel, _ place: ClientPlace, from client: ClientAddress) throws {
        guard let plain = self.configuration.plain else { throw EdgeError.tooManyConnections }
        let begun = NIODeadline.now()
        place.rests(since: begun)
        try channel.pipeline.syncOperations.addHandler(
            PlainHandler(
                PlainRequest(plain.rules, limits: self.resources.plainLimits), limits: self.helloLimits,
                site: { name in
                    self.table.site(for: name).map {
                        PlainSite(hasOrigin: self.resources.plainProxies[$0.name] != nil)
                    }
                },
                challenge: { channel, name in self.challenge(channel, name, place, from: client) },
                answered: { answer in
                    self.resources.shared.accessLog?.record { layout in
                        answer.record(
                            layout, site: { self.table.site(for: $0)?.name }, client: client.source,
                            connection: place.id, duration: NIODeadline.now() - begun)
                    }
                }))
    }

    /// An authority's challenge: the site's origin answers it, whether or not the site is served yet.
    private func challenge(
        _ channel: any Channel, _ name: ServerName, _ place: ClientPlace, from client: ClientAddress
    ) {
        guard let site = self.table.site(for: name), let proxy = self.resources.plainProxies[site.name],
            self.clients.routed(place, to: site.name, stage: .established, now: .now()) == nil
        else { return channel.close(promise: nil) }
        var context = ProxyContext(
            site: proxy, serverName: name, clientAddress: client.source, connection: place.id, logger: self.logger)
        context.place = place
        context.network = self.clients.network(of: client)
        do {
            try HTTP1Proxy.install(on: channel, context: context)
        } catch {
            channel.close(promise: nil)
        }
    }
}
