public import Admission
public import Channels
import Logging
import Metrics
public import NIOCore
public import NIOSSL
import NativeHandshake
public import PeerLink
public import Telemetry

/// Forwards native connections of one event loop to key holders.
public final class NativeForwarder {
    let eventLoop: any EventLoop
    /// Bounds for closing clients that could not be connected.
    let linger: LingerLimits
    let reports: ReportLog
    let metrics = ForwardingMetrics(prefix: "latchstring_edge_native", factory: MetricsSystem.factory)
    /// Told of each connection that has ended.
    let accessLog: AccessLogWriter?
    /// Streams to key holders, by the name that sites refer to.
    private let holders: [String: StreamLinks]
    /// By key holder: why it gives this edge no lease.
    private var ended: [String: String] = [:]
    /// Whether a client's network may have one more handshake.
    let mayBegin: (ClientNetwork) -> Bool
    /// Streams to key holders that none has taken yet.
    private var dials: DialBound
    /// Who waits for one, by number.
    private var waiting: [UInt64: () -> Void] = [:]
    private var refusing: [UInt64: () -> Void] = [:]
    private var nextDial: UInt64 = 0

    /// Streams that no key holder has taken yet, on one event loop; where there are several sites, half as many for one of them.
    private static let dialsAtOnce = 64
    /// How long a client waits for its turn.
    static let patience = TimeAmount.seconds(3)

    /// For finding a key holder that answers, all addresses together.
    static let dialTimeout = TimeAmount.seconds(5)
    static let idleTimeout = TimeAmount.minutes(5)
    static let lifetime = TimeAmount.hours(24)

    /// - Parameters:
    ///   - holders: where key holders take streams, by the name that sites refer to.
    ///   - sites: How many sites are forwarded.
    ///   - tls: This edge's identity, with the protocol of streams; nil if it has none.
    ///   - intake: where key holders connect, if any is to.
    ///   - mayBegin: Whether a client's network may have one more handshake; asking counts.
    public init(
        eventLoop: any EventLoop, holders: [String: StreamLinks.Configuration], sites: Int, tls: NIOSSLContext?,
        intake: LinkIntake?, linger: LingerLimits, reports: ReportLog, accessLog: AccessLogWriter?,
        mayBegin: @escaping (ClientNetwork) -> Bool
    ) {
        self.eventLoop = eventLoop
        var links: [String: StreamLinks] = [:]
        if let tls {
            for (name, holder) in holders {
                links[name] = StreamLinks(
                    holder, tls: tls, intake: intake, eventLoop: eventLoop, logger: reports.logger)
            }
        }
        self.holders = links
        self.linger = linger
        self.reports = reports
        self.accessLog = accessLog
        self.mayBegin = mayBegin
        self.dials = DialBound(
            total: Self.dialsAtOnce, perSite: sites > 1 ? Self.dialsAtOnce / 2 : Self.dialsAtOnce, perNetwork: 8)
    }

    /// A key holder gives this edge no lease, for this reason, or (nil) gives it one again. One that gives none is not dialled: it judges each
    /// native handshake by itself, and would refuse all of them.
    public func leases(of keyHolder: String, ended: String?) { self.ended[keyHolder] = ended }

    /// The key holder of this name gives this edge a lease: links to it are there before the first client.
    public func warm(_ keyHolder: String) { self.holders[keyHolder]?.warm() }

    /// Has links from now on only while clients want them.
    public func rest() { for links in self.holders.values { links.rest() } }

    /// Takes no more clients. Links end with the streams that they have.
    public func stop() { for links in self.holders.values { links.stop() } }

    /// Takes a client over: connects it to its key holder, or refuses it with an alert. Call on the channel's event loop.
    public func forward(_ client: ForwardedClient, to keyHolder: String?) {
        let connection = ForwardedConnection(client, self.terms(keyHolder))
        guard connection.takeClient() else { return }
        guard let keyHolder, let holder = self.holders[keyHolder] else {
            return connection.failed(
                .native("no key holder", "the key holder has no address for native connections"))
        }
        if let end = self.ended[keyHolder] { return connection.failed(.native("no lease", end)) }
        guard self.mayBegin(client.network) else {
            return connection.failed(
                .native("client rate", "more handshakes than limits.handshakes-per-client allows", .busy))
        }
        let dial = self.makeDial(for: client)
        connection.connecting { self.leave(dial) }
        self.enter(dial) {
            self.connect(client, connection, to: holder, dial)
        } refused: {
            connection.failed(.native("busy", "too many streams that key holders have yet to take", .busy))
        }
    }

    /// Turns a client away for which there is no connection.
    public func refuse(_ client: ForwardedClient, to keyHolder: String?) {
        let connection = ForwardedConnection(client, self.terms(keyHolder))
        guard connection.takeClient() else { return }
        connection.failed(.native("busy", "the site has too many connections", .busy))
    }

    private func connect(
        _ client: ForwardedClient, _ connection: ForwardedConnection, to holder: StreamLinks, _ dial: DialBound.Dial
    ) {
        guard let introduction = client.address.proxyProtocolHeader.encoded(.v2) else {
            self.dialEnded(dial)
            return connection.failed(.native("internal", "the client's address cannot be told"))
        }
        var isOver = false
        let cancel = holder.open(introduction: introduction, first: client.receivedBytes, within: Self.dialTimeout) {
            result in
            isOver = true
            self.dialEnded(dial)
            switch result {
            case .success(let channel):
                guard !connection.connected(channel) else { return }
                connection.failed(.native("key holder unavailable", "closed at once"))
            case .failure(.timeout(let before)):
                connection.failed(
                    .native("key holder unavailable", before.map { "timeout; before that: \($0)" } ?? "timeout"))
            case .failure(.refused(let reason)):
                connection.failed(.native("key holder unavailable", reason))
            }
        }
        guard !isOver else { return }
        connection.connecting {
            cancel()
            self.dialEnded(dial)
        }
    }

    private func terms(_ keyHolder: String?) -> ForwardingTerms {
        var origin = PumpTraits()
        origin.mayLeave = true
        // What the key holder sent before, an alert perhaps, is to arrive.
        origin.closeEndsInput = true
        return ForwardingTerms(
            mode: "native", failedMessage: "native connection not forwarded", failedLevel: .warning,
            leftMessage: "native connection given up by its client", endedMessage: "native connection ended",
            origin: origin, idle: Self.idleTimeout, lifetime: Self.lifetime, linger: self.linger,
            metadata: { keyHolder.map { ["keyholder": "\($0)"] } ?? [:] }, metrics: self.metrics,
            reports: self.reports, accessLog: self.accessLog)
    }

    /// A client's stream to its key holder, which is to wait for its turn.
    func makeDial(for client: ForwardedClient) -> DialBound.Dial {
        self.nextDial += 1
        return DialBound.Dial(id: self.nextDial, network: client.network, site: client.site)
    }

    /// A client wants a stream to its key holder: `begin` is called when it may have one, now or in its turn, or
    /// `refused`. It ends with ``dialEnded(_:)``, or ``leave(_:)`` before it has begun.
    func enter(_ dial: DialBound.Dial, begin: @escaping () -> Void, refused: @escaping () -> Void) {
        switch self.dials.enter(dial) {
        case .begin: begin()
        case .refused: refused()
        case .wait: self.wait(dial, begin, refused)
        case .waitInPlaceOf(let other):
            self.wait(dial, begin, refused)
            self.waiting[other] = nil
            self.refusing.removeValue(forKey: other)?()
        }
    }

    private func wait(_ dial: DialBound.Dial, _ begin: @escaping () -> Void, _ refused: @escaping () -> Void) {
        self.waiting[dial.id] = begin
        self.refusing[dial.id] = refused
        self.eventLoop.assumeIsolated().scheduleTask(in: Self.patience) {
            guard let refused = self.refusing[dial.id] else { return }
            self.leave(dial)
            refused()
        }
    }

    /// The client is gone before its turn.
    func leave(_ dial: DialBound.Dial) {
        self.dials.leave(dial)
        self.waiting[dial.id] = nil
        self.refusing[dial.id] = nil
    }

    func dialEnded(_ dial: DialBound.Dial) {
        guard let next = self.dials.end(dial) else { return }
        self.refusing[next] = nil
        self.waiting.removeValue(forKey: next)?()
    }
}

extension ForwardingFailure {
    fileprivate static func native(
        _ reason: String, _ detail: String, _ alert: NativeAlert = .unavailable
    ) -> ForwardingFailure {
        ForwardingFailure(reason: reason, detail: detail, alert: nil, answer: alert.record)
    }
}
