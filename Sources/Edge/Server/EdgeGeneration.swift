import EdgeHTTP
import EdgeModel
import EdgeTLS
import NIOCore
import NIOSSL
import PeerLink
import StreamWire
import TLSWire

/// One reading of the configuration at work, on all event loops. The first begins with the edge, another with each reload; the one
/// before it serves the connections that it has until they end, with its own links to key holders and its own leases.
struct EdgeGeneration: Sendable {
    let number: Int
    let configuration: EdgeConfiguration
    private let resources: EdgeResources
    let loops: [NIOLoopBound<EdgeLoop>]

    /// Throws if the configuration cannot be used; nothing has begun then.
    init(
        _ number: Int, _ configuration: EdgeConfiguration, on slots: [NIOLoopBound<LoopSlot>], shared: EdgeShared,
        group: any EventLoopGroup
    ) async throws {
        let table = try SiteTable(sites: configuration.sites, defaultSite: configuration.defaultSite)
        let tls = try configuration.credentials.map {
            EdgeLoop.LinkTLS(
                keys: try $0.clientContext(),
                streams: try $0.clientContext(protocols: [StreamFrame.protocolName]))
        }
        let resources = try EdgeResources(configuration: configuration, shared: shared, group: group)
        var loops: [NIOLoopBound<EdgeLoop>] = []
        do {
            for slot in slots {
                loops.append(
                    try await slot.eventLoop.submit {
                        let loop = try EdgeLoop(
                            slot: slot.value, configuration: configuration, table: table, tls: tls,
                            resources: resources, logger: shared.logger)
                        return NIOLoopBound(loop, eventLoop: slot.eventLoop)
                    }.get())
            }
        } catch {
            resources.shutdown()
            throw error
        }
        self.number = number
        self.configuration = configuration
        self.resources = resources
        self.loops = loops
    }

    /// Connects to the key holders, and asks for leases. The leases are kept on the first loop; what becomes of them goes to all.
    ///
    /// - Parameter former: whose session tickets stay good.
    func start(after former: EdgeGeneration?, readiness: EdgeReadiness) async throws {
        guard let first = self.loops.first else { return }
        let (loops, number) = (self.loops, self.number)
        readiness.begin(
            number,
            expecting: self.configuration.sites.filter { $0.mode.terminatesTLS }.flatMap(\.domains),
            sites: self.configuration.sites.map { [proxies = self.resources.proxies] site in
                SiteFacts(site, origin: { proxies[site.name]?.originTrouble })
            })
        // Before any link is up, so that no news is missed.
        try await first.eventLoop.submit {
            first.value.startKeepers(after: former?.loops.first?.value) { pattern, news in
                readiness.heard(pattern, news, in: number)
                for loop in loops {
                    loop.eventLoop.execute { loop.value.received(news, for: pattern) }
                }
            } publishStanding: { keyHolder, end in
                readiness.heard(keyHolder, end, in: number)
                for loop in loops {
                    loop.eventLoop.execute { loop.value.received(end, from: keyHolder) }
                }
            } publishLink: { keyHolder, isConnected in
                readiness.heard(keyHolder, isConnected: isConnected, in: number)
            } publishHealth: { keyHolder, addresses in
                readiness.heard(keyHolder, addresses, in: number)
            }
        }.get()
        let outdated: @Sendable (ServerNamePattern) -> Void = { pattern in
            first.eventLoop.execute { first.value.refreshCertificate(of: pattern) }
        }
        for loop in loops {
            try await loop.eventLoop.submit { loop.value.start(onOutdated: outdated) }.get()
        }
    }

    /// Takes the clients that come from now on, in the place of another one.
    func takeOver(from former: EdgeGeneration? = nil) {
        for loop in former?.loops ?? [] { loop.eventLoop.execute { loop.value.fallSilent() } }
        for loop in self.loops {
            loop.eventLoop.execute {
                loop.value.takeOver()
                loop.value.speak()
            }
        }
    }

    /// After another one has taken over: succeeds when the last connection of this one has ended, and it is gone. Loops without a
    /// connection give up their links before, but for the one that keeps the leases.
    func retire() -> EventLoopFuture<Void>? {
        guard let first = self.loops.first else { return nil }
        let ends = self.loops.map { loop in
            loop.eventLoop.flatSubmit {
                loop.value.whenEmpty().assumeIsolated().map { if !loop.value.keepsLeases { loop.value.disconnect() } }
                    .nonisolated()
            }
        }
        let all = EventLoopFuture.andAllComplete(ends, on: first.eventLoop)
        all.whenComplete { _ in self.end() }
        return all
    }

    /// Takes no more clients, waits for those there are, on all loops at once, then closes what is left.
    func drain(for time: TimeAmount) async throws {
        guard let first = self.loops.first else { return }
        let ends = self.loops.map { loop in loop.eventLoop.flatSubmit { loop.value.drain(for: time) } }
        try await EventLoopFuture.andAllComplete(ends, on: first.eventLoop).get()
        self.resources.shutdown()
    }

    /// Ends its connections soon.
    func hasten(within time: TimeAmount) {
        for loop in self.loops { loop.eventLoop.execute { loop.value.hasten(within: time) } }
    }

    /// Nothing came of it, or its time is over.
    func end() {
        for loop in self.loops { loop.eventLoop.execute { loop.value.end() } }
        self.resources.shutdown()
    }
}
