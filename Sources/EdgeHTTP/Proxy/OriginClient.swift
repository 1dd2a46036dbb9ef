import Admission
public import EdgeModel
public import Metrics
public import NIOCore
public import NIOPosix
import NIOSSL

/// Connections to one site's origin on one event loop, kept and used again. Not Sendable: it stays on its loop, and
/// needs no lock.
final class OriginClient {
    let configuration: OriginConfiguration
    let eventLoop: any EventLoop
    let metrics: OriginMetrics
    let standing: OriginStanding
    private let sslContext: NIOSSLContext?
    /// Asked for the addresses of the origin's name, for each new connection; nil: the system's.
    private let resolver: (any Resolver & Sendable)?
    private var idle: IdleConnections<OriginConnection>
    /// For requests that the cache makes, and for clients' connections: each has a time limit, and hardly one is reached.
    private var timers: [ProxyTimer] = []
    private var reaper: (task: Scheduled<Void>, time: NIODeadline)?
    private var isShutDown = false
    private var share: OriginShare
    /// By number.
    private var waiting: [UInt64: (network: ClientNetwork?, ready: Ready)] = [:]
    private var lastWaiter: UInt64 = 0
    private var waitTimer: Scheduled<Void>?
    private var advanceIsDue = false
    private var lastNews: (cause: OriginFailure.Cause, time: NIODeadline)?

    /// A request that waits for a connection.
    struct Waiter {
        fileprivate let id: UInt64
    }

    /// Gets a connection, and whether it has served requests before.
    typealias Ready = (Result<(OriginConnection, isReused: Bool), OriginFailure>) -> Void

    init(
        configuration: OriginConfiguration, eventLoop: any EventLoop, sslContext: NIOSSLContext?,
        resolver: (any Resolver & Sendable)? = nil, metrics: OriginMetrics, standing: OriginStanding
    ) {
        self.configuration = configuration
        self.metrics = metrics
        self.standing = standing
        self.resolver = resolver
        self.idle = IdleConnections(
            count: configuration.maximumIdleConnections, idleTimeout: configuration.idleTimeout,
            age: configuration.maximumConnectionAge)
        self.share = OriginShare(
            connections: configuration.maximumConnections, perClient: configuration.maximumConnectionsPerClient,
            waiting: configuration.maximumWaitingRequests,
            patience: UInt64(max(0, configuration.connectTimeout.nanoseconds)))
        self.eventLoop = eventLoop
        self.sslContext = sslContext
    }

    /// Prepares a request; `begin` sends it. Without content it is complete then; otherwise write the content, then end it.
    ///
    /// - Parameter network: of the client whose share of the connections is used; nil if it has no bound.
    func exchange(
        _ request: OutboundRequest, network: ClientNetwork?, receiver: any OriginReceiver
    ) -> OriginExchange {
        OriginExchange(request, network: network, client: self, receiver: receiver)
    }

    /// Whether a request of this network would have to wait, even if a connection were free.
    func isOverShare(_ network: ClientNetwork?) -> Bool { self.share.isOverShare(network) }

    private static let maximumTimers = 64

    /// A timer without an action, for one request or connection.
    func takeTimer() -> ProxyTimer { self.timers.popLast() ?? ProxyTimer(eventLoop: self.eventLoop) }

    /// The request, or the connection, is over.
    func giveBack(_ timer: ProxyTimer) {
        guard self.timers.count < Self.maximumTimers, !self.isShutDown else { return timer.cancel() }
        timer.rest()
        self.timers.append(timer)
    }

    /// Closes what is idle; what is busy is closed when it is done.
    func shutdown() {
        self.isShutDown = true
        self.reaper?.task.cancel()
        for connection in self.idle.removeAll() { connection.close() }
    }

    /// Whether a failure deserves a line that people see: another cause than the last one, or ten seconds after it.
    func isNews(_ cause: OriginFailure.Cause, now: NIODeadline) -> Bool {
        if let lastNews, lastNews.cause == cause, now < lastNews.time + .seconds(10) { return false }
        self.lastNews = (cause, now)
        return true
    }

    // MARK: Idle connections

    func takeIdle(for network: ClientNetwork?) -> OriginConnection? {
        guard self.share.reuse(for: network) else { return nil }
        guard let connection = self.popIdle(for: network) else {
            self.share.gone(network)
            return nil
        }
        return connection
    }

    private func popIdle(for network: ClientNetwork?) -> OriginConnection? {
        let connection = self.idle.take()
        connection?.use = OriginConnection.Use(network: network)
        return connection
    }

    func putIdle(_ connection: OriginConnection, now: NIODeadline) {
        guard let use = connection.use else { return }
        guard !self.isShutDown, self.idle.mayKeep(since: connection.birth, now: now) else {
            return connection.close()
        }
        connection.use = nil
        self.share.ended(use.network)
        let until = self.idle.add(connection, since: connection.birth, now: now)
        // A request that waits may take it at once.
        self.advance()
        self.idle.surplus()?.close()
        self.scheduleReaper(at: until)
    }

    func forget(_ connection: OriginConnection) {
        self.idle.remove(connection)
    }

    /// Has an idle connection closed at its time. A time at which none is due any more costs a look.
    private func scheduleReaper(at time: NIODeadline) {
        if let reaper, reaper.time <= time { return }
        self.reaper?.task.cancel()
        let task = self.eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.reap(now: .now()) }
        self.reaper = (task, time)
    }

    private func reap(now: NIODeadline) {
        self.reaper = nil
        for connection in self.idle.expired(now: now) { connection.close() }
        if let time = self.idle.deadline { self.scheduleReaper(at: time) }
    }

    // MARK: New connections

    /// Sets a connection up, or waits for one if too many are in use. `ready` is called once, unless
    /// the waiter is given to ``leave(_:)`` first.
    ///
    /// - Parameters:
    ///   - network: of the client whose share is used; nil if it has no bound.
    ///   - prefersNew: an idle connection will not do if there may be another.
    func connect(for network: ClientNetwork?, prefersNew: Bool, _ ready: @escaping Ready) -> Waiter? {
        self.lastWaiter += 1
        let waiter = Waiter(id: self.lastWaiter)
        let now = NIODeadline.now().uptimeNanoseconds
        switch self.share.enter(waiter.id, from: network, prefersNew: prefersNew, now: now) {
        case .go(let step):
            self.go(step, network, ready)
            return nil
        case .wait:
            break
        case .waitInPlaceOf(let other):
            if let other = self.waiting.removeValue(forKey: other) { self.turnAway(other.ready, "others had fewer") }
        case .overloaded:
            self.turnAway(ready, "too many wait")
            return nil
        }
        self.waiting[waiter.id] = (network, ready)
        if self.waitTimer == nil { self.scheduleWaitTimer() }
        return waiter
    }

    private func go(_ step: OriginShare.Step, _ network: ClientNetwork?, _ ready: @escaping Ready) {
        if step == .reuse, let connection = self.popIdle(for: network) {
            ready(.success((connection, isReused: true)))
        } else {
            self.establish(for: network, ready)
        }
    }

    /// The caller is in the middle of something.
    private func turnAway(_ ready: @escaping Ready, _ detail: String) {
        self.eventLoop.assumeIsolated().execute { ready(.failure(OriginFailure(.overloaded, detail))) }
    }

    /// A request that waits for a connection wants none any more.
    ///
    /// - Returns: false if it did not wait any more: a connection is being set up for it.
    @discardableResult
    func leave(_ waiter: Waiter) -> Bool {
        guard self.share.leave(waiter.id) else { return false }
        self.waiting[waiter.id] = nil
        return true
    }

    /// Once for each connection that was set up, or was to be.
    func connectionIsGone(_ connection: OriginConnection) {
        self.metrics.closed()
        if let use = connection.use {
            connection.use = nil
            self.share.gone(use.network)
        } else {
            self.share.idleGone()
        }
        guard self.share.isDue, !self.advanceIsDue else { return }
        self.advanceIsDue = true
        // What closed the connection is in the middle of something.
        self.eventLoop.assumeIsolated().execute {
            self.advanceIsDue = false
            self.advance()
        }
    }

    /// Goes on with requests that wait, in their turn.
    private func advance() {
        while let (id, step) = self.share.next() {
            guard let waiter = self.waiting.removeValue(forKey: id) else { continue }
            self.go(step, waiter.network, waiter.ready)
        }
    }

    private func scheduleWaitTimer() {
        guard let deadline = self.share.deadline else { return }
        let time = NIODeadline.uptimeNanoseconds(deadline)
        self.waitTimer = self.eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.waitTimedOut(now: .now()) }
    }

    private func waitTimedOut(now: NIODeadline) {
        self.waitTimer = nil
        for id in self.share.expired(now: now.uptimeNanoseconds) {
            let waiter = self.waiting.removeValue(forKey: id)
            waiter?.ready(.failure(OriginFailure(.overloaded, "no connection was free in time")))
        }
        if self.waitTimer == nil { self.scheduleWaitTimer() }
    }

    private func establish(for network: ClientNetwork?, _ ready: @escaping Ready) {
        var timer: Scheduled<Void>?
        var told = false
        let begun = NIODeadline.now()
        let connection = OriginConnection(client: self, usesTLS: self.sslContext != nil) { result in
            guard !told else { return }
            told = true
            timer?.cancel()
            self.metrics.connected(after: .now() - begun, isUp: (try? result.get()) != nil)
            ready(result.map { ($0, isReused: false) })
        }
        connection.use = OriginConnection.Use(network: network)
        timer = self.eventLoop.assumeIsolated().scheduleTask(in: self.configuration.connectTimeout) {
            connection.close(OriginFailure(.connectTimeout))
        }
        connection.birth = begun
        self.metrics.opened()
        let bootstrap = ClientBootstrap(group: self.eventLoop)
            .resolver(self.resolver)
            .connectTimeout(self.configuration.connectTimeout)
            // Handlers come when the connection is there: several may be tried for one name.
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        let connected: EventLoopFuture<any Channel>
        if let address = try? SocketAddress(ipAddress: self.configuration.host, port: self.configuration.port) {
            connected = bootstrap.connect(to: address)
        } else {
            connected = bootstrap.connect(host: self.configuration.host, port: self.configuration.port)
        }
        connected.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                guard !connection.isClosed else { return channel.close(promise: nil) }
                do {
                    try self.addHandlers(to: channel, connection: connection)
                    try channel.syncOptions?.setOption(.autoRead, value: true)
                } catch {
                    connection.close(OriginFailure(connecting: error))
                    channel.close(promise: nil)
                }
            case .failure(let error):
                connection.close(OriginFailure(connecting: error))
            }
        }
    }

    private func addHandlers(to channel: any Channel, connection: OriginConnection) throws {
        let pipeline = channel.pipeline.syncOperations
        if let sslContext = self.sslContext {
            try pipeline.addHandler(NIOSSLClientHandler(context: sslContext, serverHostname: self.tlsName))
        }
        try pipeline.addHandler(connection)
    }

    /// `nil` for an address: the certificate is checked for the address then, and there is no SNI.
    private var tlsName: String? {
        let name = self.configuration.tlsName ?? self.configuration.host
        return (try? SocketAddress(ipAddress: name, port: 0)) == nil ? name : nil
    }
}

/// A site's origin, for all event loops: one client each, so that connections stay on the loop of the clients they serve.
public final class OriginClients: Sendable {
    let configuration: OriginConfiguration
    let standing = OriginStanding()
    private let clients: [ObjectIdentifier: NIOLoopBoundBox<OriginClient>]

    /// - Parameters:
    ///   - site: in metrics.
    ///   - resolver: asked for the origin's addresses, for each new connection; nil: the system's.
    /// - Throws: if the trust roots can't be read.
    public init(
        configuration: OriginConfiguration, site: String = "", group: any EventLoopGroup,
        resolver: (any Resolver & Sendable)? = nil, metrics: any MetricsFactory = MetricsSystem.factory
    ) throws {
        let metrics = OriginMetrics(site: site, factory: metrics)
        var sslContext: NIOSSLContext?
        if configuration.scheme == .https {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.minimumTLSVersion = .tlsv12
            tls.applicationProtocols = ["http/1.1"]
            switch configuration.trustRoots {
            case .system: tls.trustRoots = .default
            case .file(let path): tls.trustRoots = .file(path)
            }
            sslContext = try NIOSSLContext(configuration: tls)
        }
        self.configuration = configuration
        var clients: [ObjectIdentifier: NIOLoopBoundBox<OriginClient>] = [:]
        for loop in group.makeIterator() {
            clients[ObjectIdentifier(loop)] = .makeBoxSendingValue(
                OriginClient(
                    configuration: configuration, eventLoop: loop, sslContext: sslContext, resolver: resolver,
                    metrics: metrics, standing: self.standing),
                eventLoop: loop)
        }
        self.clients = clients
    }

    /// The client of this loop. Call it on the loop; `nil` if the loop is not one of the group's.
    func client(on eventLoop: any EventLoop) -> OriginClient? {
        self.clients[ObjectIdentifier(eventLoop)]?.value
    }

    /// Closes idle connections on all loops, and keeps none from now on.
    public func shutdown() {
        for client in self.clients.values {
            client.eventLoop.execute { client.value.shutdown() }
        }
    }
}
