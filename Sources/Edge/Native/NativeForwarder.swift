import Logging
import Metrics
import NIOCore
import NIOSSL
import PeerLink

/// Forwards native connections of one event loop to key holders.
final class NativeForwarder {
    /// A key holder's listener for native connections.
    struct Holder {
        var expected: PeerIdentity
        var addresses: [PeerAddress]
    }

    let eventLoop: any EventLoop
    let helloLimits: HelloLimits
    let logger: Logger
    let metrics = NativeMetrics()
    let tls: NIOSSLContext?
    private let holders: [String: Holder]
    /// Which address of a key holder comes first for the next client.
    private var turn = 0
    /// Connections to key holders under way.
    private var dials = DialBound(total: 64, perNetwork: 8)

    /// For finding a key holder that answers, all addresses together.
    static let dialTimeout = TimeAmount.seconds(5)
    static let idleTimeout = TimeAmount.minutes(5)
    static let lifetime = TimeAmount.hours(24)

    init(eventLoop: any EventLoop, configuration: EdgeConfiguration, tls: NIOSSLContext?, logger: Logger) {
        self.eventLoop = eventLoop
        self.helloLimits = configuration.helloLimits
        self.logger = logger
        self.tls = tls
        var holders: [String: Holder] = [:]
        for (name, addresses) in configuration.nativeAddresses {
            guard let expected = configuration.keyHolders[name]?.expected else { continue }
            holders[name] = Holder(expected: expected, addresses: addresses)
        }
        self.holders = holders
    }

    /// Takes a client over: connects it to its key holder, or refuses it with an alert. Call on the channel's event loop.
    func forward(_ handOver: NativeHandOver) {
        let holder: Holder? = handOver.site.native.flatMap { self.holders[$0] }
        NativeForwarding(handOver: handOver, holder: holder.map(self.turned), forwarder: self).begin()
    }

    /// A client wants a connection to its key holder. False: it must come again later. What is true ends with
    /// ``dialEnded(for:)``.
    func beginDial(for client: SocketAddress?) -> Bool { self.dials.begin(ClientNetwork(client)) }

    func dialEnded(for client: SocketAddress?) { self.dials.end(ClientNetwork(client)) }

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
