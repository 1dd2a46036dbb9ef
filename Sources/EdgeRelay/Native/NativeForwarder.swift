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
    /// A key holder's listener for native connections.
    public struct Holder: Sendable {
        var expected: PeerIdentity
        var addresses: [PeerAddress]

        public init(expected: PeerIdentity, addresses: [PeerAddress]) {
            self.expected = expected
            self.addresses = addresses
        }
    }

    let eventLoop: any EventLoop
    /// Bounds for closing clients that could not be connected.
    let linger: LingerLimits
    let reports: ReportLog
    let metrics = ForwardingMetrics(prefix: "latchstring_edge_native", factory: MetricsSystem.factory)
    /// Told of each connection that has ended.
    let accessLog: AccessLogWriter?
    let tls: NIOSSLContext?
    private let holders: [String: Holder]
    /// By key holder: why it gives this edge no lease.
    private var ended: [String: String] = [:]
    /// Which address of a key holder comes first for the next client.
    private var turn = 0
    /// Whether a client's network may have one more handshake.
    let mayBegin: (ClientNetwork) -> Bool
    /// Connections to key holders under way.
    private var dials: DialBound
    /// Who waits for one, by number.
    private var waiting: [UInt64: () -> Void] = [:]
    private var refusing: [UInt64: () -> Void] = [:]
    private var nextDial: UInt64 = 0

    /// Connections to key holders under way on one event loop; where there are several sites, half as many for one of them.
    private static let dialsAtOnce = 64
    /// How long a client waits for its turn.
    static let patience = TimeAmount.seconds(3)

    /// For finding a key holder that answers, all addresses together.
    static let dialTimeout = TimeAmount.seconds(5)
    static let idleTimeout = TimeAmount.minutes(5)
    static let lifetime = TimeAmount.hours(24)

    /// - Parameters:
    ///   - holders: By the name that sites refer to.
    ///   - sites: How many sites are forwarded.
    ///   - tls: This edge's identity; nil if it has none.
    ///   - mayBegin: Whether a client's network may have one more handshake; asking counts.
    public init(
        eventLoop: any EventLoop, holders: [String: Holder], sites: Int, tls: NIOSSLContext?, linger: LingerLimits,
        reports: ReportLog, accessLog: AccessLogWriter?, mayBegin: @escaping (ClientNetwork) -> Bool
    ) {
        self.eventLoop = eventLoop
        self.holders = holders
        self.tls = tls
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

    /// Takes a client over: connects it to its key holder, or refuses it with an alert. Call on the channel's event loop.
    public func forward(_ client: ForwardedClient, to keyHolder: String?) {
        let connection = ForwardedConnection(client, self.terms(keyHolder))
        guard connection.takeClient() else { return }
        guard let keyHolder, let holder = self.holders[keyHolder], let tls = self.tls else {
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
            self.connect(connection, to: self.turned(holder), tls, dial)
        } refused: {
            connection.failed(.native("busy", "too many connections to key holders are under way", .busy))
        }
    }

    /// Turns a client away for which there is no connection.
    public func refuse(_ client: ForwardedClient, to keyHolder: String?) {
        let connection = ForwardedConnection(client, self.terms(keyHolder))
        guard connection.takeClient() else { return }
        connection.failed(.native("busy", "the site has too many connections", .busy))
    }

    private func connect(
        _ connection: ForwardedConnection, to holder: Holder, _ tls: NIOSSLContext, _ dial: DialBound.Dial
    ) {
        let dialer = Dialer(on: self.eventLoop, deadline: .now() + Self.dialTimeout) { channel, deadline, completion in
            PeerHandshake.begin(
                on: channel, tls: tls, expected: holder.expected, deadline: deadline, completion: completion)
        }
        connection.connecting {
            dialer.cancel()
            self.dialEnded(dial)
        }
        dialer.dial(holder.addresses.map { .peer($0) }) { result in
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
    }

    private func terms(_ keyHolder: String?) -> ForwardingTerms {
        var origin = PumpTraits()
        origin.mayLeave = true
        // What the key holder sent before, an alert perhaps, is to arrive.
        origin.closeEndsInput = true
        return ForwardingTerms(
            mode: "native", failedMessage: "native connection not forwarded", failedLevel: .warning,
            leftMessage: "native connection given up by its client", endedMessage: "native connection ended",
            origin: origin, idle: Self.idleTimeout, lifetime: Self.lifetime, proxyProtocol: .v2, linger: self.linger,
            metadata: { keyHolder.map { ["keyholder": "\($0)"] } ?? [:] }, metrics: self.metrics,
            reports: self.reports, accessLog: self.accessLog)
    }

    /// A client's connection to its key holder, which is to wait for its turn.
    func makeDial(for client: ForwardedClient) -> DialBound.Dial {
        self.nextDial += 1
        return DialBound.Dial(id: self.nextDial, network: client.network, site: client.site)
    }

    /// A client wants a connection to its key holder: `begin` is called when it may have one, now or in its turn, or
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

    /// The same with the addresses in the next order.
    private func turned(_ holder: Holder) -> Holder {
        self.turn &+= 1
        var holder: Holder = holder
        let first: Int = self.turn % max(1, holder.addresses.count)
        holder.addresses = Array(holder.addresses[first...] + holder.addresses[..<first])
        return holder
    }
}

extension ForwardingFailure {
    fileprivate static func native(
        _ reason: String, _ detail: String, _ alert: NativeAlert = .unavailable
    ) -> ForwardingFailure {
        ForwardingFailure(reason: reason, detail: detail, alert: nil, answer: alert.record)
    }
}
