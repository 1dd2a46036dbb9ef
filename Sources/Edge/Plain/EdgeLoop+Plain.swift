import Admission
import Channels
import EdgeHTTP
import EdgeModel
import EdgeTLS
import NIOCore
import PeerLink
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
                ask: { self.keyAuthorization(for: $0, from: client) },
                challenge: { channel, challenge in self.challenge(channel, challenge.name, place, from: client) },
                answered: { answer in
                    self.resources.shared.accessLog?.record { layout in
                        answer.record(
                            layout, site: { self.table.site(for: $0)?.name }, client: client.source,
                            connection: place.id, duration: NIODeadline.now() - begun)
                    }
                }))
    }

    /// What the key holder has for an authority, where an order of its own is open; nil: it is not asked. Clients send what they like,
    /// so it is not asked more often than authorities come.
    private func keyAuthorization(
        for challenge: PlainChallenge, from client: ClientAddress
    ) -> EventLoopFuture<String?>? {
        guard let site = self.table.site(for: challenge.name), let terminated = self.terminatedSites[site.name],
            self.domains.value(for: challenge.name)?.isWithoutGrant != true,
            self.resources.shared.takeChallenge(of: self.clients.network(of: client))
        else { return nil }
        return terminated.pool.challenge(challenge.token, for: challenge.name)
    }

    /// An authority's challenge that is not the key holder's: the site's origin answers it, whether or not the site is served yet.
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
