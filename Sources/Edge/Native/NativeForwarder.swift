import Admission
import EdgeModel
import Logging
import Metrics
import NIOCore
import NIOSSL
import PeerLink
import Telemetry

/// Forwards native connections of one event loop to key holders.
final class NativeForwarder {
    /// A key holder's listener for native connections.
    struct Holder {
        var expected: PeerIdentity
        var addresses: [PeerAddress]
    }

    let eventLoop: any EventLoop
    let helloLimits: HelloLimits
    let reports: ReportLog
    let metrics = NativeMetrics()
    /// Told of each connection that has ended.
    let accessLog: AccessLogWriter?
    let tls: NIOSSLContext?
    private let holders: [String: Holder]
    /// By key holder: why it gives this edge no lease.
    private var ended: [String: LeaseEnd] = [:]
    /// Which address of a key holder comes first for the next client.
    private var turn = 0
    private let clients: ClientConnections
    private let gate: HandshakeGate
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

    init(
        eventLoop: any EventLoop, configuration: EdgeConfiguration, tls: NIOSSLContext?,
        resources: EdgeResources
    ) {
        self.eventLoop = eventLoop
        self.helloLimits = configuration.helloLimits
        self.reports = resources.reports
        self.accessLog = resources.shared.accessLog
        self.clients = resources.clients
        self.gate = resources.gate
        self.tls = tls
        var holders: [String: Holder] = [:]
        for (name, addresses) in configuration.nativeAddresses {
            guard let expected = configuration.keyHolders[name]?.expected else { continue }
            holders[name] = Holder(expected: expected, addresses: addresses)
        }
        self.holders = holders
        let sites = configuration.sites.count { $0.native != nil }
        self.dials = DialBound(
            total: Self.dialsAtOnce, perSite: sites > 1 ? Self.dialsAtOnce / 2 : Self.dialsAtOnce, perNetwork: 8)
    }

    /// A key holder gives this edge no lease, or (nil) gives it one again.
    func leases(of keyHolder: String, ended: LeaseEnd?) { self.ended[keyHolder] = ended }

    /// Why the site's key holder is not dialled: it judges each native handshake by itself, and would refuse all of them.
    func refusal(_ site: Site) -> LeaseEnd? { site.native.flatMap { self.ended[$0] } }

    /// Takes a client over: connects it to its key holder, or refuses it with an alert. Call on the channel's event loop.
    func forward(_ handOver: NativeHandOver) {
        let holder: Holder? = handOver.site.native.flatMap { self.holders[$0] }
        NativeForwarding(handOver: handOver, holder: holder.map(self.turned), forwarder: self).begin()
    }

    /// Turns a client away for which there is no connection.
    func refuse(_ handOver: NativeHandOver) {
        NativeForwarding(handOver: handOver, holder: nil, forwarder: self).refuse()
    }

    /// Whether the client's network may have one more handshake.
    func mayBegin(_ client: ClientAddress) -> Bool {
        self.gate.mayBegin(self.clients.network(of: client), now: .now())
    }

    /// A client's connection to its key holder, which is to wait for its turn.
    func makeDial(for client: ClientAddress, of site: Site) -> DialBound.Dial {
        self.nextDial += 1
        return DialBound.Dial(id: self.nextDial, network: self.clients.network(of: client), site: site.name)
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

/// The counters of native connections.
struct NativeMetrics: Sendable {
    private let connections = Counter(label: "latchstring_edge_native_connections_total")
    private let fromClient = Counter(label: "latchstring_edge_native_bytes_total", dimensions: [("from", "client")])
    private let fromOrigin = Counter(label: "latchstring_edge_native_bytes_total", dimensions: [("from", "origin")])

    func began() { self.connections.increment() }

    func failed(_ reason: String) {
        Counter(label: "latchstring_edge_native_failed_total", dimensions: [("reason", reason)]).increment()
    }

    func ended(fromClient: Int, fromOrigin: Int) {
        self.fromClient.increment(by: fromClient)
        self.fromOrigin.increment(by: fromOrigin)
    }
}
