import FleetBus
import Foundation
import Logging
import NIOConcurrencyHelpers
import PrivateAuthority
import TestBus
import TestLogs
import TestSockets
import Testing

@testable import FleetLink

@Suite("A bus in the wrong hands holds nothing up for good", .serialized, .timeLimit(.minutes(3)))
struct HostileBusTests {
    private static let a = "https://www.test/a"
    private static let keys = FleetKeys(fleet: "test")

    private static func bytes(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }

    @Test("Entries, reports and heartbeats that are too large, or of too many fields, are read past")
    func poison() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        edge.store.store(Self.a)
        let large = [UInt8](repeating: 0x61, count: 2 << 20)
        let medium = [UInt8](repeating: 0x61, count: 250_000)
        let fields = (0..<5000).flatMap { Self.bytes("\($0)", "x") }
        try await blocking {
            for key in [Self.keys.purges, Self.keys.reports] {
                try server.run(Self.bytes("XADD", key, "*", "e") + [large])
                try server.run(Self.bytes("XADD", key, "*") + fields)
                for _ in 0..<40 {
                    try server.run(Self.bytes("XADD", key, "*", "e") + [medium] + Self.bytes("f") + [medium])
                }
            }
            try server.run(Self.bytes("HSET", Self.keys.edges, "large") + [large])
            for number in 0..<150 { try server.run(Self.bytes("HSET", Self.keys.edges, "m\(number)") + [medium]) }
        }
        let outcome = try await fleet.order(.url(Self.a), on: bus)
        #expect(outcome.isSuccess && edge.store.items.isEmpty, "\(outcome)")
        #expect(edge.store.removals == 0, "\(edge.log.all)")
        #expect(edge.status.refused == 42)
        // No list can be made of what stands in its place: the purge goes out all the same.
        try server.run(["DEL", Self.keys.edges])
        try server.run(["SET", Self.keys.edges, "x"])
        edge.store.store(Self.a)
        let blind = try await fleet.order(.url(Self.a), on: bus, timeout: 2000)
        #expect(!blind.isSuccess && blind.problem != nil && blind.ids.count == 1, "\(blind)")
        try await until("the purge") { edge.store.items.isEmpty }
        await edge.stop()
    }

    @Test("An order that the bus refuses and keeps is the only one that ever has its number")
    func keptOrder() async throws {
        let server = try RedisServer(["maxmemory-policy noeviction"])
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        struct Page: Decodable {
            struct Order: Decodable { var entry: [UInt8] }
            var pending: Order?
        }
        try server.run(["CONFIG", "SET", "maxmemory", "1"])
        await #expect(throws: FleetDesk.Failure.self) { try await fleet.order(.tag("kept"), on: bus) }
        let page = try JSONDecoder().decode(Page.self, from: try Data(contentsOf: URL(filePath: fleet.counterPath)))
        let kept = try #require(page.pending?.entry)
        try server.run(["CONFIG", "SET", "maxmemory", "0"])
        // It shows the edge what it kept, where the command's next order would have its place.
        try server.run(Self.bytes("XADD", Self.keys.purges, "*", "e") + [kept])
        edge.store.store(Self.a)
        let outcome = try await fleet.order(.url(Self.a), on: bus)
        #expect(outcome.isSuccess && edge.store.items.isEmpty, "what is acknowledged is done: \(outcome)")
        #expect(edge.store.purged.map(\.targets) == [[.tag("1")], [.tag("kept")], [.url(Self.a)]])
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    @Test("Orders that were cut off before an edge read any of their signer: what it stores is confirmed")
    func cutBeforeFirst() async throws {
        let server = try RedisServer()
        let gate = try await TestGate(to: server.port)
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", TestFleet.bus(gate.port))
        try await edge.following()
        // The stream is empty as it looks at it, and it fills its store.
        edge.store.store(Self.a, "https://www.test/b")
        gate.cut()
        for target in [FleetPurge.Target.url(Self.a), .tag("2"), .tag("3")] {
            try await fleet.order(target, on: bus, timeout: 300)
        }
        try server.run(["XTRIM", Self.keys.purges, "MAXLEN", "1"])
        try await until("the loss", seconds: 8) { !edge.status.isFollowing }
        gate.mend()
        try await edge.following()
        #expect(edge.store.purged.map(\.targets) == [[.tag("3")]])
        #expect(edge.store.items == [Self.a: .unconfirmed, "https://www.test/b": .unconfirmed])
        await edge.stop()
        try await gate.close()
    }

    @Test(
        "A bus that changes its word all the time makes an edge confirm what it stores now and then, not all the time")
    func doubtAfterDoubt() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        edge.store.store(Self.a)
        let before = edge.store.confirmations
        try await blocking {
            let end = ContinuousClock.now + .milliseconds(3500)
            var number = 0
            while ContinuousClock.now < end {
                number += 1
                try server.run(["SET", Self.keys.generation, String(format: "%016d", number)])
            }
            #expect(number > 100)
        }
        let doubts = edge.store.confirmations - before
        #expect((2...4).contains(doubts), "\(doubts)")
        // It is there meanwhile.
        let desk = try await fleet.desk(bus)
        let census = try await desk.census()
        #expect(census.edges.map(\.standing) == [.alive] && census.edges[0].age ?? 9999 < 1000)
        await desk.close()
        await edge.stop()
    }

    @Test("Waits between doubts: none, then from one second to a minute, and none again after two quiet minutes")
    func pace() {
        var pace = DoubtPace()
        var now: Int64 = 5
        var waits: [Int64] = []
        for _ in 0..<9 {
            let wait = pace.pause(at: now)
            waits.append(wait)
            now += wait + 1
        }
        #expect(waits == [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
        #expect(pace.pause(at: now + 200_000) == 0)
        #expect(pace.pause(at: now + 200_001) == 1000)
    }

    @Test("Lines that a bus can cause are bounded; those that are left out are counted")
    func lines() {
        let lines = Lines()
        let log = FollowLog(Logger(label: "edge") { _ in LineLog(lines: lines, level: .info) })
        for number in 0..<100 { log.write(.warning, "a line", ["number": "\(number)"], at: 61_000) }
        #expect(lines.count("a line") == FollowLog.perMinute)
        log.write(.warning, "another", [:], at: 121_000)
        #expect(lines.count("another") == 1)
        #expect(lines.all.contains { $0.contains("omitted") && $0.contains("80") }, "\(lines.all.suffix(2))")
    }

    @Test("A heartbeat with numbers that nothing can be computed with is none")
    func numbers() async throws {
        let fleet = try TestFleet()
        let issued = try fleet.authority.issueIdentity(role: .edge, name: "paris")
        let seal = try EdgeSeal(certificatePEM: issued.chainPEM, keyPEM: issued.keyPEM)
        var book = try EdgeBook(fleet: "test", authorityPEM: fleet.authority.certificatePEM)
        let now = Int64(Date().timeIntervalSince1970)
        func take(time: Int64 = now * 1000, _ change: (inout EdgeHeartbeat) -> Void) throws -> FleetCensus {
            var heartbeat = EdgeHeartbeat(version: "test", started: 0, busTime: now * 1000)
            change(&heartbeat)
            let report = try #require(
                heartbeat.report(fleet: "test", edge: "paris", time: time, certificate: seal.certificate))
            let bytes = try report.sealed { try seal.sign($0) }
            return FleetCensus.take(
                [.init(.string("paris"), .text(bytes))], busTime: now * 1000, server: nil, expected: [], book: &book,
                now: now)
        }
        #expect(try take { _ in }.edges.count == 1)
        let extremes: [Int64] = [.min, .max, -1]
        for extreme in extremes {
            #expect(try take(time: extreme) { _ in }.unsigned == ["paris"])
            #expect(try take { $0.busTime = extreme }.unsigned == ["paris"])
            #expect(try take { $0.started = extreme }.unsigned == ["paris"])
            #expect(try take { $0.identityNotAfter = extreme }.unsigned == ["paris"])
            #expect(try take { $0.connections = Int(extreme) }.unsigned == ["paris"])
            #expect(try take { $0.certificates = [.init(domain: "a", notAfter: extreme)] }.unsigned == ["paris"])
            let site = EdgeHeartbeat.Site(name: "a", mode: "keyless", requests: extreme, hits: extreme)
            #expect(try take { $0.sites = [site, site] }.unsigned == ["paris"])
        }
    }

    @Test("An edge that can't finish a purge is there, says so, and is waited for")
    func stuck() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        edge.store.state.withLockedValue { $0.fails = true }
        #expect(try await !fleet.order(.url(Self.a), on: bus, timeout: 500).isSuccess)
        try await Task.sleep(for: .seconds(2))
        let desk = try await fleet.desk(bus)
        let census = try await desk.census()
        #expect(census.edges.map(\.standing) == [.alive])
        #expect(census.edges[0].age ?? 9999 < 1000, "its heartbeats go on: \(census.edges)")
        #expect(census.edges[0].heartbeat?.problem?.contains("not done for certain") == true)
        // What it has not done it does not claim.
        let counter = try #require(census.edges[0].heartbeat?.counters["\(fleet.key.publicKey)"])
        let outcome = try await fleet.order(.tag("3"), on: bus, timeout: 500)
        #expect(!outcome.isSuccess && outcome.progress.edges.map(\.answer) == [.silent])
        #expect(outcome.progress.edges.map(\.isAwaited) == [true])
        edge.store.state.withLockedValue { $0.fails = false }
        #expect(try await fleet.order(.tag("4"), on: bus).isSuccess)
        try await until("its counter") {
            server.pid > 0 && edge.status.problem == nil
        }
        let after = try await desk.census().edges[0].heartbeat?.counters["\(fleet.key.publicKey)"] ?? 0
        #expect(after >= counter)
        await desk.close()
        await edge.stop()
    }

    @Test("A server that is busy for a while does not end the wait for edges, nor the writing")
    func busy() async throws {
        let server = try RedisServer(["lua-time-limit 20"])
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        async let script = blocking { try server.run(["EVAL", "while true do end", "0"]) }
        try await Task.sleep(for: .milliseconds(200))
        async let outcome = fleet.order(.tag("2"), on: bus)
        try await Task.sleep(for: .milliseconds(500))
        _ = try await blocking { try server.run(["SCRIPT", "KILL"]) }
        _ = try await script
        #expect(try await outcome.isSuccess)
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    @Test("One key for two fleets: each has its own numbers, and neither sees a gap")
    func twoFleets() throws {
        let fleet = try TestFleet()
        let generation = try #require(Generation([UInt8](repeating: 1, count: 16)))
        var numbers: [String: [UInt64]] = [:]
        for name in ["one", "two", "one", "two", "two", "one"] {
            var book = try OrderBook(fleet.key, fleet: name, now: 1000)
            let (entry, _) = try book.begin(
                FleetPurge(targets: [.everything], isSoft: false), generation: generation, now: 1000)
            try book.written()
            book.close()
            numbers[name, default: []].append(entry.counter)
            #expect(entry.fleet == name)
        }
        #expect(numbers == ["one": [1001, 1002, 1003], "two": [1001, 1002, 1003]])
        // Without the note that it is on the bus, an order is written again under its number.
        let path = OrderBook.path(fleet.key, fleet: "one")
        for lost in [Data(), nil] {
            if let lost {
                try lost.write(to: URL(filePath: path + ".done"))
            } else {
                try FileManager.default.removeItem(atPath: path + ".done")
            }
            let book = try OrderBook(fleet.key, fleet: "one", now: 1000)
            #expect(book.next == 1003 && book.pending?.counter == 1003)
            book.close()
        }
    }
}
