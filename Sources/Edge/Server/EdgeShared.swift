import Admission
import CacheStorage
import Channels
import EdgeModel
import EdgeRelay
import EdgeTLS
import Logging
import Metrics
import NIOConcurrencyHelpers
import NIOCore
import PeerLink
import Telemetry

/// What all event loops of an edge share, and what outlives a reload: who is connected, whose turn it is, what is stored, the
/// relay's resolvers.
struct EdgeShared: Sendable {
    let relay: RelayConnector
    /// nil where no site stores anything.
    let store: ResponseStore?
    let clients: ClientConnections
    let gate: HandshakeGate
    let reports: ReportLog
    /// Where key holders connect that open no port.
    let intake: LinkIntake
    let turns: GroupTurns
    /// Told of each request and relayed connection.
    let accessLog: AccessLogWriter?
    /// Of questions to key holders that clients without TLS bring about. They are seldom enough for a lock.
    private let challenges = NIOLockedValueBox(ChallengeBudget(now: NIODeadline.now().uptimeNanoseconds))
    let logger: Logger

    /// - Parameter connections: how many clients may be connected at once; by default what the configuration says.
    init(
        _ configuration: EdgeConfiguration, connections: Int? = nil, store: ResponseStore? = nil,
        group: any EventLoopGroup, logger: Logger, accessLog: AccessLogWriter? = nil
    ) {
        let clock = group.next()
        self.clients = ClientConnections(
            configuration.connectionBounds(total: connections ?? configuration.limits.connections))
        self.gate = HandshakeGate(configuration.handshakeBounds, clock: clock)
        self.reports = ReportLog(logger, clock: clock)
        self.intake = LinkIntake(reports: self.reports)
        self.store = store
        self.turns = GroupTurns(group: group)
        self.relay = RelayConnector(
            linger: configuration.helloLimits.linger, reports: self.reports, accessLog: accessLog)
        self.accessLog = accessLog
        self.logger = logger
        Self.tellIdentity(configuration)
    }

    /// Whether a key holder may be asked now for what an authority wants to see.
    func takeChallenge(of network: ClientNetwork) -> Bool {
        self.challenges.withLockedValue { $0.take(network, now: NIODeadline.now().uptimeNanoseconds) }
    }

    /// What a reload changes of it.
    ///
    /// - Parameter connections: how many clients may be connected at once.
    func update(_ configuration: EdgeConfiguration, connections: Int) {
        self.clients.update(configuration.connectionBounds(total: connections))
        self.gate.update(configuration.handshakeBounds, now: .now())
        self.store?.apply(configuration.storeShares)
        Self.tellIdentity(configuration)
    }

    private static func tellIdentity(_ configuration: EdgeConfiguration) {
        let expiry = Gauge(label: "latchstring_edge_identity_not_after_seconds")
        if let credentials = configuration.credentials {
            expiry.record(credentials.notAfter)
        } else {
            expiry.destroy()
        }
    }

    func shutdown() { self.relay.shutdown() }
}

extension EdgeConfiguration {
    var handshakeBounds: HandshakeGate.Bounds {
        var bounds = HandshakeGate.Bounds()
        bounds.perClient = self.limits.handshakesPerClient
        bounds.deadlines = self.keyHolders.mapValues(\.deadline)
        return bounds
    }
}
