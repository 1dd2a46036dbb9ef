import Crypto
import FleetBus
import Foundation
import NIOConcurrencyHelpers
import PrivateAuthority
import TestBus
import TestLogs
import Testing

@testable import FleetLink

@Suite("Purges reach every edge, with a real server", .serialized, .timeLimit(.minutes(3)))
struct PurgeTests {
    private static let a = "https://www.test/a"
    private static let b = "https://www.test/b"

    @Test("Every kind of purge, hard and soft, is done at every edge and acknowledged")
    func kinds() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edges = [try await fleet.edge("paris", bus), try await fleet.edge("lyon", bus)]
        for edge in edges { try await edge.following() }
        // What a signer ordered before its first order that an edge hears is not known: what is stored is confirmed.
        for edge in edges { edge.store.store(Self.a) }
        #expect(try await fleet.order(.tag("first"), on: bus).isSuccess)
        for edge in edges { #expect(edge.store.items == [Self.a: .unconfirmed]) }
        let cases: [(FleetPurge.Target, [String])] = [
            (.url(Self.a), [Self.a]), (.prefix("https://www.test/"), [Self.a, Self.b]),
            (.host("www.test"), [Self.a, Self.b]), (.tag("t"), ["https://x.test/#t"]),
            (.everything, [Self.a, Self.b, "https://x.test/#t"]),
        ]
        for isSoft in [true, false] {
            for (target, meant) in cases {
                for edge in edges { edge.store.store(Self.a, Self.b, "https://x.test/#t") }
                let outcome = try await fleet.order(target, soft: isSoft, on: bus)
                #expect(outcome.isSuccess)
                #expect(outcome.progress.done.map(\.name) == ["lyon", "paris"])
                for edge in edges {
                    for (name, condition) in edge.store.items {
                        #expect(condition == (meant.contains(name) ? .stale : .fresh), "\(target) \(name)")
                        if !isSoft { #expect(!meant.contains(name), "\(target) left \(name)") }
                    }
                }
            }
        }
        for edge in edges {
            #expect(edge.store.removals == 0 && edge.status.refused == 0)
            await edge.stop()
        }
    }

    @Test("An edge that was away does what it missed before it serves; one that is gone is named")
    func away() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let store = TestStore([Self.a, Self.b])
        // A store that is not empty and has no record has followed nothing: it is emptied, once.
        let first = try await fleet.edge("paris", bus, store: store, record: "paris")
        #expect(store.removals == 1)
        try await first.following()
        #expect(try await fleet.order(.tag("first"), on: bus).isSuccess)
        store.store(Self.a, Self.b)
        await first.stop()
        let other = try await fleet.edge("lyon", bus)
        try await other.following()
        var outcome = try await fleet.order(.url(Self.a), on: bus, timeout: 500)
        #expect(!outcome.isSuccess, "paris was alive a moment ago")
        #expect(outcome.progress.edges.map(\.answer)[1] == .silent)
        #expect(store.items[Self.a] == .fresh)
        // When `edge` returns, the edge may serve.
        let again = try await fleet.edge("paris", bus, store: store, record: "paris")
        #expect(store.items == [Self.b: .fresh])
        #expect(store.removals == 1 && store.confirmations == 2, "\(store.confirmations)")
        outcome = try await fleet.order(.url(Self.b), on: bus)
        #expect(outcome.isSuccess && store.items.isEmpty)
        await again.stop()
        await other.stop()
    }

    @Test("Where the stream does not reach back any more, nothing that was stored before is served")
    func staleEdge() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let store = TestStore()
        let first = try await fleet.edge("paris", bus, store: store, record: "paris")
        try await first.following()
        try await fleet.order(.tag("0"), on: bus)
        store.store(Self.a, Self.b)
        await first.stop()
        for number in 1...5 { try await fleet.order(.tag("\(number)"), .url(Self.a), on: bus, timeout: 50) }
        try server.run(["XTRIM", FleetKeys(fleet: "test").purges, "MAXLEN", "2"])
        let again = try await fleet.edge("paris", bus, store: store, record: "paris")
        #expect(store.items.isEmpty, "\(store.items)")
        #expect(store.removals == 1)
        #expect(again.log.count("purges are missing") == 1)
        // Cut off altogether: what was missed can't be known, and nothing is used unconfirmed.
        store.store(Self.b)
        await again.stop()
        try await fleet.order(.url(Self.b), on: bus, timeout: 50)
        try server.run(["XTRIM", FleetKeys(fleet: "test").purges, "MAXLEN", "0"])
        let third = try await fleet.edge("paris", bus, store: store, record: "paris")
        #expect(store.items == [Self.b: .unconfirmed])
        // And the next order shows that one was missed.
        store.store(Self.a)
        #expect(try await fleet.order(.tag("x"), on: bus).isSuccess)
        #expect(store.items.isEmpty && store.removals == 2)
        await third.stop()
    }

    @Test("What is not ours, badly signed, replayed or not allowed is refused, and the rest goes on")
    func strangers() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus, signers: [fleet.signer(.some(hosts: ["www.test"], tags: []))])
        try await edge.following()
        edge.store.store(Self.a, "https://x.test/")
        let purges = FleetKeys(fleet: "test").purges
        try server.run(["XADD", purges, "*", "e", "hello"])
        try server.run(["XADD", purges, "*", "field", "value"])
        let refused = try await fleet.order(.everything, on: bus)
        #expect(!refused.isSuccess)
        #expect(refused.progress.edges.map(\.answer) == [.refused(.notAllowed)])
        let done = try await fleet.order(.url(Self.a), on: bus)
        #expect(done.isSuccess)
        #expect(edge.store.items == ["https://x.test/": .fresh])
        // The bus plays it again: the edge has stored the same anew meanwhile, and keeps it.
        edge.store.store(Self.a)
        let reply = try server.run(["XRANGE", purges, "\(done.ids[0])", "\(done.ids[0])"].map { Array($0.utf8) })
        let entry = try #require(Self.payload(reply))
        try server.run(["XADD", purges, "*", "e"].map { Array($0.utf8) } + [entry])
        _ = try await fleet.order(.url("https://www.test/other"), on: bus)
        let before = try #require(Self.payload(reply))
        try server.run(["XADD", purges, "*", "e"].map { Array($0.utf8) } + [before])
        #expect(try await fleet.order(.url("https://www.test/else"), on: bus).isSuccess)
        #expect(edge.store.items[Self.a] == .fresh)
        #expect(edge.status.refused == 4, "\(edge.log.all)")
        #expect(edge.log.count("was refused") == 1, "one line, however many: \(edge.log.all)")
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    /// The one payload in a reply of XRANGE.
    private static func payload(_ reply: [UInt8]) -> [UInt8]? {
        let mark = Array("$1\r\ne\r\n$".utf8)
        guard let start = reply.indices.first(where: { reply[$0...].starts(with: mark) }) else { return nil }
        let rest = reply[(start + mark.count)...]
        guard let end = rest.firstIndex(of: 13), let count = Int(String(decoding: rest[..<end], as: UTF8.self)) else {
            return nil
        }
        return Array(rest[(end + 2)..<(end + 2 + count)])
    }

    @Test("A bus that hides an order is found out with the next one, and meanwhile nothing is acknowledged")
    func hidden() async throws {
        let server = try RedisServer()
        let gate = try await TestGate(to: server.port)
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", TestFleet.bus(gate.port))
        try await edge.following()
        #expect(try await fleet.order(.tag("first"), on: bus).isSuccess)
        edge.store.store(Self.a, Self.b)
        gate.cut()
        let outcome = try await fleet.order(.url(Self.a), on: bus, timeout: 300)
        #expect(!outcome.isSuccess && edge.store.items[Self.a] == .fresh)
        try server.run(["XDEL", FleetKeys(fleet: "test").purges, "\(outcome.ids[0])"])
        gate.mend()
        #expect(try await fleet.order(.tag("next"), on: bus).isSuccess)
        #expect(edge.store.items.isEmpty && edge.store.removals == 1)
        await edge.stop()
        try await gate.close()
    }

    @Test("An order that may have been written is written again, under its number: no edge sees a gap or does it twice")
    func uncertain() async throws {
        let server = try RedisServer()
        let gate = try await TestGate(to: server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", TestFleet.bus(server.port))
        try await edge.following()
        #expect(try await fleet.order(.tag("first"), on: TestFleet.bus(gate.port)).isSuccess)
        let desk = try await fleet.desk(TestFleet.bus(gate.port))
        // The order arrives at the bus, and its answer does not come back.
        gate.swallowAnswer(to: "XADD")
        do {
            _ = try await desk.order(FleetPurge(targets: [.tag("lost")], isSoft: false), by: fleet.key, timeout: 1000)
            Issue.record("its answer came back")
        } catch let failure as FleetDesk.Failure {
            guard case .uncertain = failure else {
                Issue.record("\(failure)")
                return
            }
        }
        gate.mend()
        await desk.close()
        let next = try await fleet.order(.tag("next"), on: TestFleet.bus(server.port))
        #expect(next.isSuccess)
        #expect(edge.store.removals == 0)
        #expect(edge.store.purged.count { $0.targets == [.tag("lost")] } == 1, "\(edge.store.purged)")
        await edge.stop()
        try await gate.close()
    }

    @Test("A count that is older than what edges have seen is refused by them, and the command says so")
    func oldCount() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        try await fleet.order(.tag("1"), on: bus)
        let copy = try Data(contentsOf: URL(filePath: fleet.counterPath))
        for number in 2...4 { try await fleet.order(.tag("\(number)"), on: bus) }
        try copy.write(to: URL(filePath: fleet.counterPath))
        edge.store.store(Self.a)
        let outcome = try await fleet.order(.url(Self.a), on: bus)
        #expect(!outcome.isSuccess && outcome.progress.edges.map(\.answer) == [.refused(.replayed)])
        #expect(edge.store.items[Self.a] == .fresh)
        // Without it, edges see a gap, which is safe.
        try FileManager.default.removeItem(atPath: fleet.counterPath)
        #expect(try await fleet.order(.tag("6"), on: bus).isSuccess)
        #expect(edge.store.removals == 1)
        await edge.stop()
    }

    @Test("A store that fails is tried again, and nothing is acknowledged before it is done")
    func failingStore() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        edge.store.store(Self.a)
        edge.store.state.withLockedValue { $0.fails = true }
        let failed = try await fleet.order(.url(Self.a), on: bus, timeout: 300)
        #expect(!failed.isSuccess && failed.progress.edges.map(\.answer) == [.silent])
        #expect(edge.status.problem?.contains("not done for certain") == true)
        edge.store.state.withLockedValue { $0.fails = false }
        try await until("the purge") { edge.store.items.isEmpty }
        #expect(try await fleet.order(.tag("next"), on: bus).isSuccess)
        #expect(edge.store.removals == 0 && edge.status.problem == nil)
        await edge.stop()
    }

    @Test("Several orders at once are written one after the other")
    func atOnce() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<8 { group.addTask { try await fleet.order(.tag("\(number)"), on: bus).isSuccess } }
            for try await isSuccess in group { #expect(isSuccess) }
        }
        #expect(edge.store.removals == 0 && edge.store.purged.count == 8)
        await edge.stop()
    }

    @Test("An edge whose clock is off by an hour is alive, and shown with its clock; its purges go on")
    func clocks() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let issued = try fleet.authority.issueIdentity(role: .edge, name: "fast")
        let seal = try EdgeSeal(certificatePEM: issued.chainPEM, keyPEM: issued.keyPEM)
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        let heartbeat = EdgeHeartbeat(version: "test", started: 0, busTime: now)
        let report = try #require(
            heartbeat.report(fleet: "test", edge: "fast", time: now + 3_600_000, certificate: seal.certificate))
        let bytes = try report.sealed { try seal.sign($0) }
        try server.run(["HSET", FleetKeys(fleet: "test").edges, "fast"].map { Array($0.utf8) } + [bytes])
        let desk = try await fleet.desk(bus)
        let census = try await desk.census()
        #expect(census.edges.map(\.standing) == [.alive])
        #expect((3_595_000...3_605_000).contains(census.edges.first?.skew ?? 0))
        await desk.close()
        // The orders of a signer whose clock is a year behind count by their numbers.
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus, timeout: 1000).progress.done.map(\.name) == ["paris"])
        let counter = try fleet.lastCounter()
        let generation = try server.run(["GET", FleetKeys(fleet: "test").generation].map { Array($0.utf8) })
        let slow = PurgeEntry(
            fleet: "test", signer: fleet.key.publicKey, counter: counter + 1, time: now - 31_536_000_000,
            generation: try #require(Generation(Array(generation.dropFirst(5).dropLast(2)))),
            purge: FleetPurge(targets: [.tag("slow")], isSoft: false))
        try server.run(
            ["XADD", FleetKeys(fleet: "test").purges, "*", "e"].map { Array($0.utf8) }
                + [try slow.signed(by: fleet.key.key)])
        try await until("the slow signer's order") { edge.store.purged.last?.targets == [.tag("slow")] }
        #expect(edge.status.refused == 0 && edge.store.removals == 0)
        await edge.stop()
    }

    @Test(
        "Edges are late after 15 seconds without a heartbeat, and gone after a minute; a purge waits for none of them")
    func lateAndGone() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        for (name, age) in [("lyon", 20_000), ("oslo", 70_000), ("rome", 86_400_000)] as [(String, Int64)] {
            let issued = try fleet.authority.issueIdentity(role: .edge, name: name)
            let seal = try EdgeSeal(certificatePEM: issued.chainPEM, keyPEM: issued.keyPEM)
            let heartbeat = EdgeHeartbeat(version: "test", started: 0, busTime: now - age)
            let report = try #require(
                heartbeat.report(fleet: "test", edge: name, time: now - age, certificate: seal.certificate))
            let bytes = try report.sealed { try seal.sign($0) }
            try server.run(["HSET", FleetKeys(fleet: "test").edges, name].map { Array($0.utf8) } + [bytes])
        }
        let desk = try await fleet.desk(bus)
        #expect(try await desk.census().edges.map(\.standing) == [.late, .gone, .alive, .gone])
        await desk.close()
        let start = ContinuousClock.now
        let outcome = try await fleet.order(.tag("1"), on: bus)
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(outcome.progress.done.map(\.name) == ["paris"] && !outcome.isSuccess, "lyon may be back at once")
        await edge.stop()
    }

    @Test("Edges are listed as they say themselves; strangers' entries, old ones and strange names are told apart")
    func census() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let other = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        let stranger = try await other.edge("lyon", bus)
        try await edge.following()
        try await stranger.following()
        let keys = FleetKeys(fleet: "test")
        try await until("heartbeats") { try server.run(["HLEN", keys.edges]) == ":2\r\n" }
        // One edge's heartbeat under another's name.
        let copied = try server.run(["HGET", keys.edges, "paris"].map { Array($0.utf8) })
        let body = Array(copied[(try #require(copied.firstIndex(of: 10)) + 1)...].dropLast(2))
        try server.run(["HSET", keys.edges, "rome"].map { Array($0.utf8) } + [body])
        try server.run(["HSET", keys.edges, "\u{1B}[2J", "x"])
        let desk = try await fleet.desk(bus, expected: ["paris", "oslo"])
        var census = try await desk.census()
        #expect(census.edges.map(\.name) == ["oslo", "paris"])
        #expect(census.edges.map(\.standing) == [.missing, .alive])
        #expect(census.unsigned == ["(not a name)", "lyon", "rome"])
        #expect(census.edges[1].heartbeat?.version == "test")
        #expect(abs(census.edges[1].skew ?? 99_999) < 2000)
        await edge.stop()
        // An old heartbeat that the bus plays again stays old.
        #expect(FleetCensus.standing(age: 15_001) == .late && FleetCensus.standing(age: 60_001) == .gone)
        #expect(try await desk.forget("paris"))
        census = try await desk.census()
        #expect(census.edges.map(\.standing) == [.missing, .missing])
        await stranger.stop()
        await desk.close()
    }
}
