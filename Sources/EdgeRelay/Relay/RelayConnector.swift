import Admission
public import Channels
public import EdgeModel
import Logging
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
    /// How many pipes each event loop's connections may have at once to move bulk without copies.
    public static let usualPipes = 32
    /// Descriptors that each event loop that relays takes beside its connections: a poller, its bell, and pipes.
    public static let descriptorsPerLoop = 2 + 2 * usualPipes

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
    private let pipes: Int
    private let lastID = Atomic<UInt64>(0)

    private struct Reactors {
        var running: [ObjectIdentifier: RelayReactor] = [:]
        var isShutDown = false
    }

    private let reactors = Mutex(Reactors())

    /// Makes a connector. Call ``shutdown()`` when done.
    ///
    /// - Parameters:
    ///   - linger: For closing clients that could not be connected.
    ///   - pipes: How many each event loop's connections may have at once, of two descriptors each, to move bulk without copies.
    ///   - lookup: How names are resolved; the system's resolver by default.
    public init(
        linger: LingerLimits, reports: ReportLog, accessLog: AccessLogWriter? = nil,
        pipes: Int = RelayConnector.usualPipes,
        metrics: any MetricsFactory = MetricsSystem.factory,
        lookup: @escaping NameResolver.Lookup = NameResolver.systemLookup
    ) {
        self.linger = linger
        self.pipes = pipes
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

    /// Closes all connections, and stops the threads. Blocks until they have ended, but for look-ups.
    public func shutdown() {
        self.configuredNames.shutdown()
        self.requestedNames.shutdown()
        let reactors = self.reactors.withLock { state in
            state.isShutDown = true
            defer { state.running = [:] }
            return state.running
        }
        for reactor in reactors.values { reactor.stop() }
    }

    /// Takes a client over: connects it to its origin, or refuses it with an alert. Call it in the channel's `channelReadComplete`.
    ///
    /// The client's socket leaves its channel, which is closed: from now on a ``RelayReactor`` carries it, and its place among the edge's
    /// clients is closed by that.
    ///
    /// - Parameter closed: called once, on the channel's event loop, when the client's connection is closed: its channel's end says nothing.
    public func relay(
        _ client: ForwardedClient, configuration: RelayConfiguration, closed: (() -> Void)? = nil
    ) {
        let eventLoop = client.channel.eventLoop
        let id = self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
        let report = ForwardingReport(.init(client), self.terms(configuration))
        let reactor: RelayReactor
        let socket: Descriptor
        do {
            reactor = try self.reactor(of: eventLoop)
            socket = try Self.socket(of: client.channel)
        } catch {
            // There is nothing left to tell the client with.
            report.failed(
                ForwardingFailure(reason: "no descriptor", detail: "\(error)", alert: nil, answer: ByteBuffer()))
            return client.channel.close(promise: nil)
        }
        let finder = OriginFinder(self)
        let goal = finder.find(configuration.origin, for: client) { reactor.submit(.found(id, $0)) }
        var notices = RelayedClient.Notices()
        notices.closed = closed.map { NIOLoopBound($0, eventLoop: eventLoop) }
        if case .unresolved = goal { notices.abandoned = NIOLoopBound({ finder.cancel() }, eventLoop: eventLoop) }
        let clientChoseOrigin = if case .resolve = configuration.origin { true } else { false }
        let isTaken = reactor.submit(
            .take(
                RelayedClient(
                    id: id, socket: socket, received: client.receivedBytes,
                    header: client.address.proxyProtocolHeader.encoded(configuration.proxyProtocol), goal: goal,
                    limits: .init(
                        connect: .now() + configuration.connectTimeout, idle: configuration.idleTimeout,
                        lifetime: configuration.lifetime, linger: self.linger),
                    clientChoseOrigin: clientChoseOrigin, report: report, place: client.place, notices: notices)))
        // Not before: a close that was asked for already finds the connection there.
        client.place?.move(to: RelayHandle(id: id, reactor: reactor))
        // The connection stays open, since this was not the socket's last descriptor.
        client.channel.close(promise: nil)
        guard !isTaken else { return }
        finder.cancel()
        report.left()
        closed?()
    }

    private static func socket(of channel: any Channel) throws -> Descriptor {
        let socket = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { try Descriptor(duplicating: $0) }
        guard let socket else { throw ChannelError.operationUnsupported }
        return socket
    }

    /// Each event loop that relays has one.
    private func reactor(of eventLoop: any EventLoop) throws -> RelayReactor {
        try self.reactors.withLock { state in
            if let reactor = state.running[ObjectIdentifier(eventLoop)] { return reactor }
            guard !state.isShutDown else { throw ChannelError.ioOnClosedChannel }
            let reactor = try RelayReactor(eventLoop: eventLoop, pipes: self.pipes)
            state.running[ObjectIdentifier(eventLoop)] = reactor
            return reactor
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
            linger: self.linger,
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

/// A relayed connection, for the edge that counts it.
private struct RelayHandle: ClientCarrier {
    let id: UInt64
    let reactor: RelayReactor

    func close() { self.reactor.submit(.close(self.id)) }
}
