import Channels
import EdgeModel
import Logging
import MetricsTestKit
import NIOCore
import NIOPosix
import Synchronization
import TLSWire
import Telemetry
import TestLogs
import TestSockets

@testable import Edge
@testable import EdgeRelay
@testable import EdgeTLS

/// A listener with hello handler and relay, as an edge has it, for one site on loopback.
final class RelayHarness: Sendable {
    let metrics: TestMetrics
    let connector: RelayConnector
    let log: LogRecorder
    let port: UInt16
    private let known = Places()
    private let listener: any Channel
    /// A loop of its own: other tests keep the shared ones busy.
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Limits that a busy machine does not reach.
    static var patientLimits: HelloLimits {
        var limits = HelloLimits()
        limits.timeout = .minutes(1)
        return limits
    }

    /// - Parameters:
    ///   - knowsItself: Tell the relay about this listener, for the loop check.
    ///   - place: makes the clients' places among those of the edge.
    ///   - closed: called for each client that is closed.
    init(
        mode: SiteMode, domain: String = "www.example.test", limits: HelloLimits = RelayHarness.patientLimits,
        knowsItself: Bool = true, pipes: Int = 16,
        lookup: @escaping NameResolver.Lookup = NameResolver.systemLookup,
        place: (@Sendable (any Channel) -> ClientPlace)? = nil, closed: (@Sendable () -> Void)? = nil
    ) async throws {
        let metrics = TestMetrics()
        let log = LogRecorder()
        let logger = Logger(label: "test") { _ in log.handler }
        let connector = RelayConnector(
            linger: limits.linger, reports: ReportLog(logger, clock: nil), pipes: pipes, metrics: metrics,
            lookup: lookup)
        let places = self.known
        let table = try SiteTable(
            sites: [Site(domains: [try ServerNamePattern(domain)], mode: mode)])
        self.listener = try await ServerBootstrap(group: self.group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let hello = HelloHandler(table: table, limits: limits, logger: logger, metrics: metrics) {
                        handOver in
                        guard case .relay(let configuration) = handOver.site.mode else { return }
                        let place = place?(handOver.channel)
                        if let place { places.all.withLock { $0.append(place) } }
                        connector.relay(
                            ForwardedClient(
                                connection: handOver.connection, address: handOver.client, network: handOver.network,
                                place: place, channel: handOver.channel, site: handOver.site.name,
                                serverName: handOver.serverName, receivedBytes: handOver.receivedBytes),
                            configuration: configuration, closed: closed)
                    }
                    try channel.pipeline.syncOperations.addHandler(hello)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.metrics = metrics
        self.connector = connector
        self.log = log
        self.port = UInt16(self.listener.localAddress?.port ?? 0)
        if knowsItself, let address = self.listener.localAddress { connector.setOwnListeners([address]) }
    }

    /// The clients' places, in the order in which they came.
    var places: [ClientPlace] { self.known.all.withLock { $0 } }

    private final class Places: Sendable {
        let all = Mutex<[ClientPlace]>([])
    }

    convenience init(
        relayTo origin: TestListener, pipes: Int = 16, edit: (inout RelayConfiguration) -> Void = { _ in },
        place: (@Sendable (any Channel) -> ClientPlace)? = nil, closed: (@Sendable () -> Void)? = nil
    ) async throws {
        var configuration = RelayConfiguration(
            origin: .fixed(host: "127.0.0.1", port: origin.port), connectTimeout: .minutes(1))
        edit(&configuration)
        try await self.init(mode: .relay(configuration), pipes: pipes, place: place, closed: closed)
    }

    func stop() async throws {
        self.connector.shutdown()
        try await self.listener.close().get()
        try await self.group.shutdownGracefully()
    }

    /// The value of a counter, or 0 if it was not made.
    func counter(_ label: String, _ dimensions: [(String, String)] = []) -> Int64 {
        (try? self.metrics.expectCounter(label, dimensions).totalValue) ?? 0
    }
}

/// Runs a test with a harness and stops it.
func withHarness(
    _ harness: RelayHarness, _ body: @escaping @Sendable (RelayHarness) throws -> Void
) async throws {
    do {
        try await blocking { try body(harness) }
    } catch {
        try? await harness.stop()
        throw error
    }
    try await harness.stop()
}
