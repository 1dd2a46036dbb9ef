import Admission
import Channels
import EdgeModel
import EdgeRelay
import EdgeTLS
import KeyProtocol
import NIOCore
import PeerLink
import TLSWire

extension EdgeLoop {
    /// Goes on with a handshake when its key holder may be asked for it: at once, or when its turn comes. A client that is
    /// turned away gets `internal_error`.
    func whenItsTurn(
        _ handOver: RoutedClient, _ site: TerminatedSite,
        _ proceed: @escaping (RoutedClient, KeyPermit) -> Void
    ) {
        switch self.enterGate(handOver, site) {
        case .pass(let permit): proceed(handOver, permit)
        case .refused(let refusal): self.turnAway(handOver, site, refusal)
        case .wait(_, let turn):
            self.wait(for: turn, handOver) { result, handOver in
                switch result {
                case .success(let permit): proceed(handOver, permit)
                case .failure(let error):
                    self.turnAway(handOver, site, error as? HandshakeGate.Refusal ?? .waitedInVain)
                }
            }
        }
    }

    /// Whether the key holder may be asked for a handshake of this client now; a client that leaves leaves the line.
    func enterGate(
        _ handOver: RoutedClient, _ site: TerminatedSite, _ urgency: Urgency = .beginning
    ) -> HandshakeGate.Entry {
        let channel = handOver.channel
        let errand = HandshakeGate.Errand(
            keyHolder: site.configuration.keyHolder, site: site.site.name, network: handOver.network, urgency: urgency)
        let entry = self.gate.enter(errand, on: channel.eventLoop, now: .now())
        if case .wait(let id, _) = entry {
            let gate = self.gate
            channel.closeFuture.whenComplete { _ in gate.leave(id) }
        }
        return entry
    }

    /// Waits for something before the handshake, without losing what the client sends meanwhile.
    func wait<Value>(
        for future: EventLoopFuture<Value>, _ handOver: RoutedClient,
        _ proceed: @escaping (Result<Value, any Error>, RoutedClient) -> Void
    ) {
        let channel = handOver.channel
        let held: HeldInput
        do { held = try HeldInput.begin(on: channel) } catch { return channel.close(promise: nil) }
        future.assumeIsolated().whenComplete { result in
            guard channel.isActive else { return }
            handOver.receivedBytes.writeImmutableBuffer(held.end(on: channel))
            proceed(result, handOver)
        }
    }

    /// How a handshake ended. That the grant is used up is for those who come next, too.
    func record(_ outcome: HandshakeWatch.Outcome, of handOver: RoutedClient, _ site: TerminatedSite) {
        if case .failed(let error) = outcome, Self.saysUsedUp(error) {
            self.gate.usedUp(site.site.name, at: site.configuration.keyHolder, now: .now())
        }
        site.report.record(outcome, of: handOver)
    }

    private static func saysUsedUp(_ error: any Error) -> Bool {
        switch error {
        case TerminationFailure.keyHolder(.refused(.rateLimited)): true
        default: false
        }
    }

    /// The handshake is done.
    func established(_ handOver: RoutedClient) {
        if let place = handOver.place { self.clients.established(place, now: .now()) }
    }

    func turnAway(_ handOver: RoutedClient, _ site: TerminatedSite, _ refusal: HandshakeGate.Refusal) {
        site.report.turnedAway(refusal, of: handOver)
        self.refuse(handOver.channel, .internalError)
    }

    /// Says no without lingering: who comes too often is not worth a timer and a descriptor for two seconds.
    func refuse(_ channel: any Channel, _ alert: Alert.Description) {
        let written = channel.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        channel.writeAndFlush(Alert(alert).record(), promise: written)
    }
}

extension EdgeConfiguration {
    /// Descriptors for all that is no client's connection, nor an origin's: the process's own, event loops and listeners,
    /// links to key holders, connections to them under way, the store's files, the admin port.
    var descriptorReserve: Int {
        let links = self.keyHolders.values.reduce(0) { $0 + $1.endCount }
        // What key holders have opened, and no link has taken yet.
        let offers =
            self.keyHolderListen.isEmpty
            ? 0 : LinkIntake.mostConnections(names: self.keyHolders.values.reduce(0) { $0 + $1.dialledBy.count })
        let native = self.nativeHolders.values.reduce(0) { $0 + $1.mostLinks }
        let relays = self.sites.contains { !$0.mode.terminatesTLS } ? RelayConnector.descriptorsPerLoop : 0
        return 64 + offers + self.threads * (8 + self.listeners.count + 2 * links + native + relays)
            + (self.cache.disk == nil ? 0 : 128)
    }

    /// What the connections of clients are held to, of `total` in all.
    func connectionBounds(total: Int) -> ClientConnections.Bounds {
        var bounds = ClientConnections.Bounds(
            total: total, perClient: min(total, self.limits.connectionsPerClient ?? max(1, total / 8)))
        for site in self.sites {
            guard let share = site.connections ?? (self.sites.count > 1 ? .percent(75) : nil) else { continue }
            bounds.perSite[site.name] = share.count(of: total)
        }
        // Behind a proxy there are many clients.
        bounds.exempt = self.limits.exempt + self.trustedProxies
        bounds.ipv6PrefixLength = self.limits.ipv6PrefixLength
        return bounds
    }
}

extension ConnectionBound {
    func count(of total: Int) -> Int {
        switch self {
        case .number(let number): min(number, total)
        case .percent(let percent): max(1, total * percent / 100)
        }
    }
}
