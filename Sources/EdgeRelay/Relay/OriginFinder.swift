import Admission
import EdgeModel
import NIOCore
import TLSWire

/// Finds where the origin of one relayed connection is. Lives on one event loop.
///
/// Names are resolved first, every address is checked, and the connection goes to exactly an address that passed: a second
/// DNS answer, different from the checked one, cannot slip in between. Addresses stand in the resolver's order of preference.
final class OriginFinder {
    /// Enough to get past a few dead addresses; the client waits meanwhile.
    private static let maximumAttempts = 4

    private let connector: RelayConnector
    private var lookup: (request: NameResolver.Request, resolver: NameResolver)?

    init(_ connector: RelayConnector) { self.connector = connector }

    /// Finds addresses that may be connected to: at least one.
    ///
    /// - Parameters:
    ///   - network: The client's, whose share of the resolver is used.
    ///   - later: Called once, on the event loop, if the answer is ``RelayedClient/Goal/unresolved``, unless ``cancel()`` comes first.
    func find(
        _ origin: RelayOrigin, for client: ForwardedClient, later: @escaping (RelayedClient.Goal) -> Void
    ) -> RelayedClient.Goal {
        switch origin {
        case .fixed(let host, let port):
            if let address = IPAddress(host) { return self.judge([address], port: port, policy: nil) }
            return self.resolve(host, port: port, policy: nil, client, later)
        case .resolve(let ports, let allowPrivate):
            guard let name = client.serverName, let port = ports.first else { return .nowhere(.noServerName) }
            return self.resolve(
                name.rawValue, port: port, policy: AddressPolicy(allowPrivate: allowPrivate), client, later)
        }
    }

    /// What is found is not wanted any more.
    func cancel() {
        guard let (request, resolver) = self.lookup else { return }
        self.lookup = nil
        resolver.cancel(request)
    }

    private func resolve(
        _ host: String, port: UInt16, policy: AddressPolicy?, _ client: ForwardedClient,
        _ later: @escaping (RelayedClient.Goal) -> Void
    ) -> RelayedClient.Goal {
        let lookup = self.connector.resolve(
            host, clientChose: policy != nil, site: client.site, client: client.network,
            on: client.channel.eventLoop)
        self.lookup = lookup
        // What is known already comes at once: there is nothing to wait for then.
        var known: RelayedClient.Goal?
        var isLater = false
        lookup.request.addresses.assumeIsolated().whenComplete { result in
            guard self.lookup != nil else { return }
            self.lookup = nil
            let goal: RelayedClient.Goal
            switch result {
            case .success(let addresses): goal = self.judge(addresses, port: port, policy: policy)
            case .failure(let error): goal = .nowhere(.resolve(error as? ResolveError ?? .failed("\(error)")))
            }
            if isLater { later(goal) } else { known = goal }
        }
        isLater = true
        return known ?? .unresolved
    }

    private func judge(_ addresses: [IPAddress], port: UInt16, policy: AddressPolicy?) -> RelayedClient.Goal {
        var refusal: RelayFailure?
        let allowed = addresses.filter { address in
            if let reason = policy?.refusal(of: address) {
                refusal = refusal ?? .addressRefused(reason)
                return false
            }
            if self.connector.leadsHere(address, port: port) {
                refusal = refusal ?? .loop
                return false
            }
            return true
        }
        guard !allowed.isEmpty else { return .nowhere(refusal ?? .resolve(.noSuchName)) }
        do {
            return .origins(try allowed.prefix(Self.maximumAttempts).map { try $0.socketAddress(port: port) })
        } catch {
            return .nowhere(.connect("\(error)"))
        }
    }
}
