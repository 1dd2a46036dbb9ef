import Admission
public import Channels
public import EdgeModel
public import Logging
public import Metrics
public import NIOCore
import Synchronization
public import Telemetry

/// Serves sites in `relay` mode: connects clients to their origin and passes bytes on, both ways, unchanged.
///
/// One for all event loops. It keeps what the connections share: resolvers, the edge's own addresses, metrics.
/// Metrics: `latchstring_edge_relay_connections_total`, `latchstring_edge_relay_failed_total{reason}`,
/// `latchstring_edge_relay_ended_total{reason}`, `latchstring_edge_relay_bytes_total{from}`.
public final class RelayConnector: Sendable {
    /// Bounds for closing clients that could not be connected.
    let linger: LingerLimits
    let reports: ReportLog
    let metrics: ForwardingMetrics
    /// Told of each connection that has ended.
    let accessLog: AccessLogWriter?
    /// For names in the configuration.
    private let configuredNames: NameResolver
    /// For names that clients request.
    private let requestedNames: NameResolver
    private let ownListeners = Mutex(OwnListeners([]))
    private let interfaces = InterfaceAddresses()

    /// Makes a connector. Call ``shutdown()`` when done.
    ///
    /// - Parameters:
    ///   - linger: For closing clients that could not be connected.
    ///   - lookup: How names are resolved; the system's resolver by default.
    public convenience init(
        linger: LingerLimits, logger: Logger, metrics: any MetricsFactory = MetricsSystem.factory,
        lookup: @escaping NameResolver.Lookup = NameResolver.systemLookup
    ) {
        self.init(linger: linger, reports: ReportLog(logger, clock: nil), metrics: metrics, lookup: lookup)
    }

    public init(
        linger: LingerLimits, reports: ReportLog, accessLog: AccessLogWriter? = nil,
        metrics: any MetricsFactory = MetricsSystem.factory,
        lookup: @escaping NameResolver.Lookup = NameResolver.systemLookup
    ) {
        self.linger = linger
        self.reports = reports
        self.accessLog = accessLog
        self.metrics = ForwardingMetrics(prefix: "latchstring_edge_relay", factory: metrics)
        self.configuredNames = NameResolver(lookup: lookup)
        self.requestedNames = NameResolver(lookup: lookup)
    }

    /// Says where this edge listens, so that it never relays to itself. Call before the first client is served.
    public func setOwnListeners(_ addresses: [SocketAddress]) {
        let listeners = OwnListeners(addresses)
        self.ownListeners.withLock { $0 = listeners }
    }

    /// Stops the resolvers' threads. Connections go on.
    public func shutdown() {
        self.configuredNames.shutdown()
        self.requestedNames.shutdown()
    }

    /// Takes a client over: connects it to its origin, or refuses it with an alert. Call on the channel's event loop.
    public func relay(_ client: ForwardedClient, configuration: RelayConfiguration) {
        let connection = ForwardedConnection(client, self.terms(configuration))
        guard connection.takeClient() else { return }
        let clientChoseOrigin = if case .resolve = configuration.origin { true } else { false }
        let dialer = OriginDialer(
            on: client.channel.eventLoop, connector: self, configuration: configuration,
            serverName: client.serverName, site: client.site, network: client.network)
        connection.connecting { dialer.cancel() }
        dialer.dial { result in
            let failure: RelayFailure
            switch result {
            case .success(let channel):
                guard !connection.connected(channel) else { return }
                failure = .connect("closed at once")
            case .failure(let error):
                failure = error
            }
            connection.failed(ForwardingFailure(failure, clientChoseOrigin: clientChoseOrigin))
        }
    }

    private func terms(_ configuration: RelayConfiguration) -> ForwardingTerms {
        var origin = PumpTraits()
        origin.isPlain = true
        origin.mayLeave = true
        return ForwardingTerms(
            mode: "relay", failedMessage: "relay failed", failedLevel: .info,
            leftMessage: "relay given up by its client", endedMessage: "relay ended", origin: origin,
            idle: configuration.idleTimeout, lifetime: configuration.lifetime,
            proxyProtocol: configuration.proxyProtocol, linger: self.linger,
            metadata: {
                guard case .fixed(let host, let port) = configuration.origin else { return [:] }
                return ["address": "\(host):\(port)"]
            }, metrics: self.metrics, reports: self.reports, accessLog: self.accessLog)
    }

    /// Whether a connection to this address would come back to this edge.
    func leadsHere(_ address: IPAddress, port: UInt16) -> Bool {
        let listeners = self.ownListeners.withLock { $0 }
        return listeners.contains(address, port: port) { self.interfaces.current(now: .now()) }
    }

    /// Clients that wait for a name to be resolved.
    var waitingForNames: Int { self.configuredNames.waiting + self.requestedNames.waiting }

    /// The addresses of a configured origin's name, or of the name that a client requested.
    ///
    /// - Parameters:
    ///   - site: whose share of the resolver is used.
    ///   - client: the client's network, whose share is used too; nil if it has no bounds.
    func resolve(
        _ host: String, clientChose: Bool, site: String, client: ClientNetwork?, on eventLoop: any EventLoop
    ) -> (request: NameResolver.Request, resolver: NameResolver) {
        let resolver = clientChose ? self.requestedNames : self.configuredNames
        let client = client?.isExempt == true ? nil : client
        return (resolver.resolve(host, site: site, client: client, on: eventLoop, now: .now()), resolver)
    }
}

/// The addresses of this machine's interfaces, read again when they are a few seconds old.
private final class InterfaceAddresses: Sendable {
    private static let lifetime = TimeAmount.seconds(10)

    private struct State {
        var addresses: Set<IPAddress> = []
        var expiry: NIODeadline?
    }

    private let state = Mutex(State())

    func current(now: NIODeadline) -> Set<IPAddress> {
        self.state.withLock { state in
            if let expiry = state.expiry, now < expiry { return state.addresses }
            // If the system does not tell, what it told last still holds.
            if let devices = try? System.enumerateDevices() {
                state.addresses = Set(devices.compactMap { $0.address.flatMap(IPAddress.init)?.unmapped })
            }
            state.expiry = now + Self.lifetime
            return state.addresses
        }
    }
}
