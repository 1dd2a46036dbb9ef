public import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Connections to one site's origin on one event loop, kept and used again. Not Sendable: it stays on its loop, and
/// needs no lock.
///
/// The connection used last is used next, so that those not needed grow old and go.
final class OriginClient {
    let configuration: OriginConfiguration
    let eventLoop: any EventLoop
    private let sslContext: NIOSSLContext?
    /// Oldest first.
    private var idle: [OriginConnection] = []
    private var reaper: Scheduled<Void>?
    private var isShutDown = false
    private var limit: ConnectionLimit<Waiter>
    private var waitTimer: Scheduled<Void>?
    private var lastNews: (cause: OriginFailure.Cause, time: NIODeadline)?

    /// What a request waits for while all connections are in use.
    final class Waiter {
        fileprivate let deadline: NIODeadline
        fileprivate let ready: Ready

        fileprivate init(deadline: NIODeadline, ready: @escaping Ready) {
            self.deadline = deadline
            self.ready = ready
        }
    }

    /// Gets a connection, and whether it has served requests before.
    typealias Ready = (Result<(OriginConnection, isReused: Bool), OriginFailure>) -> Void

    init(configuration: OriginConfiguration, eventLoop: any EventLoop, sslContext: NIOSSLContext?) {
        self.configuration = configuration
        self.limit = ConnectionLimit(
            connections: configuration.maximumConnections, waiting: configuration.maximumWaitingRequests)
        self.eventLoop = eventLoop
        self.sslContext = sslContext
    }

    /// Prepares a request; `begin` sends it. Without a body it is complete then; otherwise write the body, then end it.
    ///
    /// - Parameters:
    ///   - head: goes out as it is; its framing fields must fit what is written.
    ///   - hasBody: whether `write` and `end` follow.
    func exchange(_ head: HTTPRequestHead, hasBody: Bool, receiver: any OriginReceiver) -> OriginExchange {
        OriginExchange(head: head, hasBody: hasBody, client: self, receiver: receiver)
    }

    /// Closes what is idle; what is busy is closed when it is done.
    func shutdown() {
        self.isShutDown = true
        self.reaper?.cancel()
        let idle = self.idle
        self.idle = []
        for connection in idle { connection.close() }
    }

    /// Whether a failure deserves a line that people see: another cause than the last one, or ten seconds after it.
    func isNews(_ cause: OriginFailure.Cause, now: NIODeadline) -> Bool {
        if let lastNews, lastNews.cause == cause, now < lastNews.time + .seconds(10) { return false }
        self.lastNews = (cause, now)
        return true
    }

    // MARK: Idle connections

    func takeIdle() -> OriginConnection? {
        self.idle.popLast()
    }

    func putIdle(_ connection: OriginConnection) {
        if let waiter = self.limit.takeWaiter() { return waiter.ready(.success((connection, isReused: true))) }
        guard !self.isShutDown, self.configuration.maximumIdleConnections > 0 else { return connection.close() }
        connection.idleSince = .now()
        self.idle.append(connection)
        if self.idle.count > self.configuration.maximumIdleConnections {
            self.idle.removeFirst().close()
        }
        if self.reaper == nil { self.scheduleReaper(at: connection.idleSince + self.configuration.idleTimeout) }
    }

    func forget(_ connection: OriginConnection) {
        self.idle.removeAll { $0 === connection }
    }

    private func scheduleReaper(at deadline: NIODeadline) {
        self.reaper = self.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            self?.reap(now: .now())
        }
    }

    private func reap(now: NIODeadline) {
        self.reaper = nil
        while let oldest = self.idle.first, oldest.idleSince + self.configuration.idleTimeout <= now {
            self.idle.removeFirst().close()
        }
        if let oldest = self.idle.first { self.scheduleReaper(at: oldest.idleSince + self.configuration.idleTimeout) }
    }

    // MARK: New connections

    /// Sets a connection up, or waits for one if too many are in use. `ready` is called once, unless
    /// the waiter is given to ``leave(_:)`` first.
    func connect(_ ready: @escaping Ready) -> Waiter? {
        let waiter = Waiter(deadline: .now() + self.configuration.connectTimeout, ready: ready)
        switch self.limit.enter(waiter) {
        case .connect:
            self.establish(ready)
            return nil
        case .wait:
            if self.waitTimer == nil { self.scheduleWaitTimer(waiter.deadline) }
            return waiter
        case .overloaded:
            self.eventLoop.assumeIsolated().execute { ready(.failure(OriginFailure(.overloaded, "too many wait"))) }
            return nil
        }
    }

    /// A request that waits for a connection wants none any more.
    ///
    /// - Returns: false if it did not wait any more: a connection is being set up for it.
    @discardableResult
    func leave(_ waiter: Waiter) -> Bool {
        self.limit.remove(waiter)
    }

    /// Its place goes to who has waited longest.
    func connectionIsGone() {
        guard let waiter = self.limit.connectionIsGone() else { return }
        // Whoever closed the connection is in the middle of something.
        self.eventLoop.assumeIsolated().execute { self.establish(waiter.ready) }
    }

    private func scheduleWaitTimer(_ deadline: NIODeadline) {
        self.waitTimer = self.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            self?.waitTimedOut(now: .now())
        }
    }

    /// All wait equally long, so the first in the queue is the first to give up.
    private func waitTimedOut(now: NIODeadline) {
        self.waitTimer = nil
        while let first = self.limit.firstWaiter {
            guard first.deadline <= now else { break }
            self.limit.remove(first)
            first.ready(.failure(OriginFailure(.overloaded, "no connection was free in time")))
        }
        if self.waitTimer == nil, let first = self.limit.firstWaiter { self.scheduleWaitTimer(first.deadline) }
    }

    private func establish(_ ready: @escaping Ready) {
        var timer: Scheduled<Void>?
        var told = false
        let connection = OriginConnection(client: self, usesTLS: self.sslContext != nil) { result in
            guard !told else { return }
            told = true
            timer?.cancel()
            ready(result.map { ($0, isReused: false) })
        }
        timer = self.eventLoop.assumeIsolated().scheduleTask(in: self.configuration.connectTimeout) {
            connection.close(OriginFailure(.connectTimeout))
        }
        let bootstrap = ClientBootstrap(group: self.eventLoop)
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
        // The heads that get here say how they are framed.
        var encoding = HTTPRequestEncoder.Configuration()
        encoding.automaticallySetFramingHeaders = false
        try pipeline.addHandler(OriginInput(connection))
        try pipeline.addHandler(HTTPRequestEncoder(configuration: encoding))
        try pipeline.addHandler(
            ByteToMessageHandler(
                HTTPResponseDecoder(
                    leftOverBytesStrategy: .forwardBytes, informationalResponseStrategy: .forward,
                    limitConfiguration: self.decoderLimits)))
        try pipeline.addHandler(connection)
    }

    /// `nil` for an address: the certificate is checked for the address then, and there is no SNI.
    private var tlsName: String? {
        let name = self.configuration.tlsName ?? self.configuration.host
        return (try? SocketAddress(ipAddress: name, port: 0)) == nil ? name : nil
    }

    private var decoderLimits: NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = self.configuration.maximumHeadBytes
        limits.maxHeaderListSize = self.configuration.maximumHeadBytes
        limits.maxHeaderFieldCount = 512
        return limits
    }
}

/// A site's origin, for all event loops: one client each, so that connections stay on the loop of the clients they serve.
public final class OriginClients: Sendable {
    let configuration: OriginConfiguration
    private let clients: [ObjectIdentifier: NIOLoopBoundBox<OriginClient>]

    /// - Throws: if the trust roots can't be read.
    public init(configuration: OriginConfiguration, group: any EventLoopGroup) throws {
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
                OriginClient(configuration: configuration, eventLoop: loop, sslContext: sslContext), eventLoop: loop)
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
