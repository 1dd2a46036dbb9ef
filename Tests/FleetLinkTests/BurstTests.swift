import Crypto
import FleetBus
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import TestBus
import TestSockets
import Testing

@testable import FleetLink

@Suite("100,000 purges in a burst", .serialized, .timeLimit(.minutes(4)))
struct BurstTests {
    private static let keys = FleetKeys(fleet: "test")
    /// Purges, and how many make one order: each order is signed and verified, which takes its time in a build without
    /// optimisation. `Benchmarks/fleet/run burst` has 100,000 orders.
    private static let count = 100_000
    private static let perOrder = 20
    private static let orders = BurstTests.count / BurstTests.perOrder

    /// Names that are numbers, and what was done to them: it keeps no log of its purges.
    final class NumberedStore: FleetStore {
        struct State {
            var held: Set<Int> = []
            /// The number of the last purge that was done.
            var last = -1
            var isInOrder = true
            var done = 0
            var most = 0
            var removals = 0
            var confirmations = 0
        }

        let state = NIOLockedValueBox(State())

        func hold(_ numbers: some Sequence<Int>) { self.state.withLockedValue { $0.held.formUnion(numbers) } }

        var isEmpty: Bool { self.state.withLockedValue { $0.held.isEmpty } }

        func carryOut(_ purges: [FleetPurge]) async throws -> [Bool] {
            self.state.withLockedValue { state in
                state.most = max(state.most, purges.count)
                for target in purges.lazy.flatMap(\.targets) {
                    guard case .tag(let tag) = target, let number = Int(tag) else { continue }
                    if number <= state.last { state.isInOrder = false }
                    state.last = number
                    state.held.remove(number)
                    state.done += 1
                }
            }
            return purges.map { _ in true }
        }

        func remove(_ rights: PurgeRights) async throws {
            self.state.withLockedValue { state in
                state.held = []
                state.removals += 1
            }
        }

        func confirm(_ rights: PurgeRights) async throws { self.state.withLockedValue { $0.confirmations += 1 } }
    }

    /// Signs and writes orders for the tags 1, 2, …; `length` of these orders are kept.
    private static func write(
        _ fleet: TestFleet, _ server: RedisServer, from base: UInt64, length: Int
    ) async throws {
        let client = try await BusClient(
            TestFleet.bus(server.port), tls: try BusTLS(roots: nil, name: nil), on: fleet.group.any())
        let ready = await client.ready(within: .seconds(5))
        try #require(ready != nil)
        let generation = try #require(
            try await client.send([RESPCommand("GET", Self.keys.generation)])[0].bytes.flatMap { Generation($0) })
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        let write = RESPCommand("XADD", Self.keys.purges, "MAXLEN", "~", "\(length)", "*", StreamEntry.field)
        for start in stride(from: 1, through: Self.orders, by: 250) {
            var commands: [RESPCommand] = []
            for number in start..<min(start + 250, Self.orders + 1) {
                let targets = ((number - 1) * Self.perOrder + 1)...(number * Self.perOrder)
                let order = PurgeEntry(
                    fleet: "test", signer: fleet.key.publicKey, counter: base + UInt64(number), time: now,
                    generation: generation,
                    purge: FleetPurge(targets: targets.map { .tag("\($0)") }, isSoft: false))
                commands.append(write.adding(try order.signed(by: fleet.key.key)))
            }
            for reply in try await client.send(commands, timeout: 30_000) { #expect(reply.string != nil) }
        }
        await client.stop()
    }

    private static func memory() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }

    /// An edge on its own store, one first order done, and the number of that.
    private static func start(
        _ fleet: TestFleet, _ server: RedisServer, _ store: NumberedStore
    ) async throws -> (follower: FleetFollower, running: Task<Void, any Error>, counter: UInt64) {
        let follower = FleetFollower(
            try fleet.membership("paris", TestFleet.bus(server.port), record: "paris"), store: store,
            on: fleet.group.any(), logger: .init(label: "burst", factory: { _ in SwiftLogNoOpLogHandler() }))
        try await follower.prepare()
        let running = Task { try await follower.run() }
        try await until("following") { follower.status.value.isFollowing && follower.status.value.isListed }
        #expect(try await fleet.order(.tag("0"), on: TestFleet.bus(server.port)).isSuccess)
        return (follower, running, try fleet.lastCounter())
    }

    @Test("Every one is done, in order and once; what is acknowledged is never there again; nothing grows")
    func all() async throws {
        let server = try RedisServer()
        let fleet = try TestFleet()
        let store = NumberedStore()
        let (follower, running, base) = try await Self.start(fleet, server, store)
        let watched = stride(from: 1, through: Self.count, by: 100)
        store.hold(watched)
        // What is purged by none of them.
        store.hold([Self.count + 1])
        let memory = Self.memory()
        let start = ContinuousClock.now
        async let writing: Void = Self.write(fleet, server, from: base, length: Self.orders * 2)

        // Each acknowledgement, as the command reads it, against what the edge holds at that moment.
        let desk = try await fleet.desk(TestFleet.bus(server.port))
        var book = try EdgeBook(fleet: "test", authorityFile: fleet.path("authority.pem"))
        let reader = try await BusClient(
            TestFleet.bus(server.port), tls: try BusTLS(roots: nil, name: nil), on: fleet.group.any())
        let ready = await reader.ready(within: .seconds(5))
        try #require(ready != nil)
        let heartbeat = try #require(
            try await reader.send([RESPCommand("HGET", Self.keys.edges, "paris")])[0].bytes)
        _ = book.heartbeat(heartbeat, of: "paris", now: Int64(Date().timeIntervalSince1970))
        var from = StreamID.zero
        var acknowledged: UInt64 = 0
        var reports = 0
        var highest = 0
        while acknowledged < UInt64(Self.orders) {
            try #require(ContinuousClock.now - start < .seconds(200), "\(acknowledged) are acknowledged")
            let reply = try await reader.send(
                [RESPCommand("XREAD", "COUNT", "500", "BLOCK", "500", "STREAMS", Self.keys.reports, "\(from)")],
                timeout: 10_000)[0]
            for entry in StreamEntry.read(reply) ?? [] {
                from = entry.id
                guard let payload = entry.payload, let said = book.acknowledgement(payload),
                    let progress = said.signers[fleet.key.publicKey], progress.last > base
                else { continue }
                reports += 1
                acknowledged = progress.last - base
                let left = store.state.withLockedValue { state in state.held.min() ?? .max }
                #expect(left > Int(acknowledged) * Self.perOrder, "\(left) is there, \(acknowledged) orders are done")
            }
            highest = max(highest, Self.memory())
        }
        try await writing
        let time = ContinuousClock.now - start
        let state = store.state.withLockedValue { $0 }
        #expect(state.done == Self.count + 1 && state.last == Self.count && state.isInOrder)
        #expect(state.held == [Self.count + 1] && state.removals == 0)
        #expect(state.most <= FleetFollower.batch)
        #expect(follower.status.value.doubts == 0 && follower.status.value.refused == 0)
        // As many acknowledgements as batches, about, and a record of one signer.
        #expect(reports <= Self.orders / 10)
        let record = try Data(contentsOf: URL(filePath: fleet.path("paris")))
        #expect(record.count < 4096)
        #expect(highest - memory < 128 * 1024, "KiB: \(memory), then up to \(highest)")
        // A command in the middle of it, or behind it, is as any other.
        #expect(
            try await fleet.order(.tag("\(Self.count + 1)"), on: TestFleet.bus(server.port)).progress.edges.count == 1)
        print("100,000 purges: \(time), \(reports) reports, resident \(memory) KiB and up to \(highest)")
        await desk.close()
        await reader.stop()
        running.cancel()
        _ = await running.result
    }

    @Test("An edge that falls behind the stream's length removes everything, and does the rest")
    func behind() async throws {
        let server = try RedisServer(isDurable: false)
        let fleet = try TestFleet()
        let store = NumberedStore()
        var (_, running, base) = try await Self.start(fleet, server, store)
        running.cancel()
        _ = await running.result
        store.hold([1, 50_000, Self.count, Self.count + 1])
        try await Self.write(fleet, server, from: base, length: 1000)
        // Its record is from before.
        let follower = FleetFollower(
            try fleet.membership("paris", TestFleet.bus(server.port), record: "paris"), store: store,
            on: fleet.group.any(), logger: .init(label: "burst", factory: { _ in SwiftLogNoOpLogHandler() }))
        try await follower.prepare()
        running = Task { try await follower.run() }
        try await until("following", seconds: 60) { follower.status.value.isFollowing }
        let state = store.state.withLockedValue { $0 }
        #expect(state.removals == 1 && state.held.isEmpty && state.last == Self.count && state.isInOrder)
        #expect((1000...1201).contains((state.done - 1) / Self.perOrder), "\(state.done)")
        running.cancel()
        _ = await running.result
    }
}
