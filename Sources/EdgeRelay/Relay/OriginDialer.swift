import Admission
import EdgeModel
import NIOCore
import TLSWire

/// Finds and reaches the origin of one relayed connection, within the connect limit.
///
/// Names are resolved first, every address is checked, and the connection goes to exactly an address that passed: a second
/// DNS answer, different from the checked one, cannot slip in between. Addresses are tried in the resolver's order of preference.
final class OriginDialer {
    /// Enough to get past a few dead addresses; the client waits meanwhile.
    private static let maximumAttempts = 4

    private let eventLoop: any EventLoop
    private let connector: RelayConnector
    private let configuration: RelayConfiguration
    private let serverName: ServerName?
    private let site: String
    private let network: ClientNetwork?
    private let deadline: NIODeadline
    private var completion: ((Result<any Channel, RelayFailure>) -> Void)?
    private var timer: Scheduled<Void>?
    private var lookup: (request: NameResolver.Request, resolver: NameResolver)?
    private var dialer: Dialer?

    init(
        on eventLoop: any EventLoop, connector: RelayConnector, configuration: RelayConfiguration,
        serverName: ServerName?, site: String, network: ClientNetwork?, now: NIODeadline = .now()
    ) {
        self.eventLoop = eventLoop
        self.connector = connector
        self.configuration = configuration
        self.serverName = serverName
        self.site = site
        self.network = network
        self.deadline = now + configuration.connectTimeout
    }

    /// Starts. The completion is called once, on the event loop, unless ``cancel()`` comes first.
    func dial(_ completion: @escaping (Result<any Channel, RelayFailure>) -> Void) {
        self.completion = completion
        switch self.configuration.origin {
        case .fixed(let host, let port):
            if let address = IPAddress(host) {
                self.connect([address], port: port, policy: nil)
            } else {
                self.resolve(host, port: port, policy: nil)
            }
        case .resolve(let ports, let allowPrivate):
            guard let name = self.serverName, let port = ports.first else {
                return self.finish(.failure(.noServerName))
            }
            self.resolve(name.rawValue, port: port, policy: AddressPolicy(allowPrivate: allowPrivate))
        }
    }

    /// Forgets about it: a connection that comes about nevertheless is closed.
    func cancel() {
        self.timer?.cancel()
        self.timer = nil
        self.completion = nil
        self.dialer?.cancel()
        self.dialer = nil
        if let (request, resolver) = self.lookup {
            self.lookup = nil
            resolver.cancel(request)
        }
    }

    private func finish(_ result: Result<any Channel, RelayFailure>) {
        let completion = self.completion
        self.cancel()
        completion?(result)
    }

    private func resolve(_ host: String, port: UInt16, policy: AddressPolicy?) {
        // Attempts have timers of their own.
        self.timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: self.deadline) {
            self.finish(.failure(.timeout))
        }
        let lookup = self.connector.resolve(
            host, clientChose: policy != nil, site: self.site, client: self.network, on: self.eventLoop)
        self.lookup = lookup
        lookup.request.addresses.assumeIsolated().whenComplete { result in
            self.lookup = nil
            self.timer?.cancel()
            self.timer = nil
            guard self.completion != nil else { return }
            switch result {
            case .success(let addresses):
                self.connect(addresses, port: port, policy: policy)
            case .failure(let error):
                self.finish(.failure(.resolve(error as? ResolveError ?? .failed("\(error)"))))
            }
        }
    }

    private func connect(_ addresses: [IPAddress], port: UInt16, policy: AddressPolicy?) {
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
        guard !allowed.isEmpty else { return self.finish(.failure(refusal ?? .resolve(.noSuchName))) }
        let targets: [Dialer.Target]
        do {
            targets = try allowed.prefix(Self.maximumAttempts).map { .address(try $0.socketAddress(port: port)) }
        } catch {
            return self.finish(.failure(.connect("\(error)")))
        }
        let dialer = Dialer(on: self.eventLoop, deadline: self.deadline)
        self.dialer = dialer
        dialer.dial(targets) { result in
            self.dialer = nil
            switch result {
            case .success(let channel): self.finish(.success(channel))
            case .failure(.timeout): self.finish(.failure(.timeout))
            case .failure(.refused(let reason)): self.finish(.failure(.connect(reason)))
            }
        }
    }
}
