import Crypto
import FleetBus
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import PrivateAuthority
import TestBus
import TestLogs
import TestSockets

@testable import FleetLink

/// What an edge would have stored: names, each fresh, stale or to be confirmed.
final class TestStore: FleetStore {
    enum Condition: Equatable { case fresh, stale, unconfirmed }

    struct State {
        var items: [String: Condition] = [:]
        var removals = 0
        var confirmations = 0
        var purged: [FleetPurge] = []
        var fails = false
        var keepsLog = true
    }

    struct Failing: Error {}

    let state: NIOLockedValueBox<State>

    init(_ items: [String] = []) {
        self.state = NIOLockedValueBox(State(items: Dictionary(uniqueKeysWithValues: items.map { ($0, .fresh) })))
    }

    var items: [String: Condition] { self.state.withLockedValue { $0.items } }
    var removals: Int { self.state.withLockedValue { $0.removals } }
    var confirmations: Int { self.state.withLockedValue { $0.confirmations } }
    var purged: [FleetPurge] { self.state.withLockedValue { $0.purged } }
    func store(_ names: String...) {
        self.state.withLockedValue { state in for name in names { state.items[name] = .fresh } }
    }

    var isEmpty: Bool { self.state.withLockedValue { $0.items.isEmpty } }

    func carryOut(_ purges: [FleetPurge]) async throws -> [Bool] {
        try self.state.withLockedValue { state in
            guard !state.fails else { throw Failing() }
            if state.keepsLog { state.purged += purges }
            for purge in purges {
                for target in purge.targets {
                    for name in state.items.keys where Self.means(target, name) {
                        state.items[name] = purge.isSoft ? .stale : nil
                    }
                }
            }
        }
        return purges.map { purge in !purge.targets.contains(.url("unusable")) }
    }

    private static func means(_ target: FleetPurge.Target, _ name: String) -> Bool {
        switch target {
        case .url(let url): url == name
        case .prefix(let prefix): name.hasPrefix(prefix)
        case .host(let host): name.hasPrefix("https://\(host)/")
        case .tag(let tag): name.hasSuffix("#\(tag)")
        case .everything: true
        }
    }

    func remove(_ rights: PurgeRights) async throws {
        self.state.withLockedValue { state in
            state.items = state.items.filter { !Self.covers(rights, $0.key) }
            state.removals += 1
        }
    }

    func confirm(_ rights: PurgeRights) async throws {
        self.state.withLockedValue { state in
            for name in state.items.keys where Self.covers(rights, name) { state.items[name] = .unconfirmed }
            state.confirmations += 1
        }
    }

    private static func covers(_ rights: PurgeRights, _ name: String) -> Bool {
        guard case .some(let hosts, let tags) = rights else { return true }
        return hosts.contains { name.hasPrefix("https://\($0)/") } || tags.contains { name.hasSuffix("#\($0)") }
    }
}

/// A fleet's authority, signers and bus, for one test.
final class TestFleet: Sendable {
    let folder: URL
    let authority: FleetAuthority
    let key: SigningKey
    let group = MultiThreadedEventLoopGroup.singleton

    init() throws {
        self.folder = FileManager.default.temporaryDirectory.appending(path: "latchstring-fleet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        self.authority = try FleetAuthority(name: "test fleet")
        try Data(self.authority.certificatePEM.utf8).write(to: self.folder.appending(path: "authority.pem"))
        self.key = try SigningKey.make(path: self.folder.appending(path: "ops.key").path)
    }

    deinit { try? FileManager.default.removeItem(at: self.folder) }

    func path(_ name: String) -> String { self.folder.appending(path: name).path }

    /// Where this signer's orders are counted.
    var counterPath: String { self.key.path + ".test.counter" }

    /// The number of its last order.
    func lastCounter() throws -> UInt64 {
        let book = try OrderBook(self.key, fleet: "test", now: 1)
        defer { book.close() }
        return book.next - 1
    }

    static func bus(
        _ ports: UInt16..., tls: Bool = false, login: BusConfiguration.Login? = nil,
        sentinel: BusConfiguration.Sentinel? = nil
    ) -> BusConfiguration {
        var bus = BusConfiguration(
            addresses: ports.map { BusAddress(host: "127.0.0.1", port: Int($0), usesTLS: tls) }, login: login,
            sentinel: sentinel)
        bus.connectTimeout = 1000
        return bus
    }

    func signer(_ rights: PurgeRights = .everything) -> Signer {
        Signer(name: "ops", key: self.key.publicKey, rights: rights)
    }

    func membership(
        _ name: String, _ bus: BusConfiguration, signers: [Signer]? = nil, record: String? = nil, roots: String? = nil
    ) throws -> FleetMembership {
        let issued = try self.authority.issueIdentity(role: .edge, name: name)
        var membership = FleetMembership(
            fleet: "test", bus: bus, tls: try BusTLS(roots: roots, name: nil), signers: signers ?? [self.signer()],
            seal: try EdgeSeal(certificatePEM: issued.chainPEM, keyPEM: issued.keyPEM),
            recordPath: record.map { self.path($0) },
            facts: { EdgeHeartbeat(version: "test", started: 0, busTime: 0) })
        membership.heartbeat = 200
        membership.catchUp = 1000
        return membership
    }

    /// Starts an edge and waits until it has caught up, if the bus is there.
    func edge(
        _ name: String, _ bus: BusConfiguration, store: TestStore = TestStore(), signers: [Signer]? = nil,
        record: String? = nil, roots: String? = nil
    ) async throws -> TestEdge {
        try await TestEdge(
            try self.membership(name, bus, signers: signers, record: record, roots: roots), store: store,
            on: self.group.any())
    }

    func desk(_ bus: BusConfiguration, expected: [String] = [], roots: String? = nil) async throws -> FleetDesk {
        var configuration = FleetDesk.Configuration(
            fleet: "test", bus: bus, tls: try BusTLS(roots: roots, name: nil), authority: self.path("authority.pem"))
        configuration.expected = expected
        return try await FleetDesk(configuration, on: self.group.any())
    }

    /// Orders a purge at a desk of its own.
    @discardableResult
    func order(
        _ targets: FleetPurge.Target..., soft: Bool = false, on bus: BusConfiguration, expected: [String] = [],
        timeout: Int64 = 10_000
    ) async throws -> FleetDesk.Outcome {
        let desk = try await self.desk(bus, expected: expected)
        do {
            let outcome = try await desk.order(
                FleetPurge(targets: targets, isSoft: soft), by: self.key, timeout: timeout)
            await desk.close()
            return outcome
        } catch {
            await desk.close()
            throw error
        }
    }
}

/// An edge that stores names, and does nothing else.
final class TestEdge: Sendable {
    let store: TestStore
    let log = Lines()
    let follower: FleetFollower
    private let running: Task<Void, any Error>

    init(_ membership: FleetMembership, store: TestStore, on eventLoop: any EventLoop) async throws {
        self.store = store
        let log = self.log
        self.follower = FleetFollower(
            membership, store: store, on: eventLoop,
            logger: Logger(label: "edge") { _ in LineLog(lines: log, level: .info) })
        let follower = self.follower
        try await follower.prepare()
        self.running = Task { try await follower.run() }
        try await follower.awaitCatchUp()
    }

    var status: FollowStatus.Value { self.follower.status.value }

    func following() async throws {
        try await until("following") { self.status.isFollowing && self.status.isListed }
    }

    func stop() async {
        self.running.cancel()
        _ = await self.running.result
    }
}

/// Waits for something to become true.
func until(_ what: String, seconds: Double = 20, _ condition: () throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while try !condition() {
        guard ContinuousClock.now < end else { throw NeverHappened(what: what) }
        try await Task.sleep(for: .milliseconds(5))
    }
}
