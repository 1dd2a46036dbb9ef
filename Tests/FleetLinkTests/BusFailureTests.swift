import FleetBus
import Foundation
import NIOCore
import PrivateAuthority
import TestBus
import TestLogs
import TestSockets
import Testing

@testable import FleetLink

@Suite("What happens when the bus fails", .serialized, .timeLimit(.minutes(4)))
struct BusFailureTests {
    private static let a = "https://www.test/a"

    @Test("Killed and started again: edges serve on, come back, and say each once")
    func killed() async throws {
        let server = try RedisServer(isDurable: true)
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        edge.store.store(Self.a)
        server.kill()
        try await until("the loss") { !edge.status.isFollowing }
        await #expect(throws: FleetDesk.Failure.self) { try await fleet.order(.url(Self.a), on: bus, timeout: 500) }
        #expect(edge.store.items[Self.a] == .fresh)
        try await Task.sleep(for: .milliseconds(500))
        try server.restart()
        try await edge.following()
        #expect(try await fleet.order(.url(Self.a), on: bus).isSuccess)
        #expect(edge.store.items.isEmpty && edge.store.removals == 0)
        #expect(edge.log.count("bus is lost") == 1 && edge.log.count("bus is back") == 1, "\(edge.log.all)")
        await edge.stop()
    }

    @Test("Started again empty: what is stored is confirmed before it is used, and no order is missed afterwards")
    func empty() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        edge.store.store(Self.a)
        server.kill()
        try server.restart()
        // Written before the edge is back.
        let outcome = try await fleet.order(.tag("2"), on: bus, expected: ["paris"])
        #expect(outcome.isSuccess)
        #expect(edge.store.items == [Self.a: .unconfirmed])
        #expect(edge.store.purged.last?.targets == [.tag("2")])
        #expect(edge.store.removals == 0, "the counter shows that nothing is missing")
        await edge.stop()
    }

    @Test("Hung: it is given up in time, by edges and by the command, and is back when it wakes")
    func hung() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        server.hang()
        let start = ContinuousClock.now
        await #expect(throws: FleetDesk.Failure.self) { try await fleet.order(.tag("1"), on: bus, timeout: 1500) }
        #expect(ContinuousClock.now - start < .seconds(4))
        try await until("the loss", seconds: 6) { !edge.status.isFollowing }
        server.wake()
        try await edge.following()
        #expect(try await fleet.order(.tag("2"), on: bus).isSuccess)
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    @Test("Failed over to a replica that lacks the last order: ids go back, and what is stored is confirmed")
    func failedOver() async throws {
        let primary = try RedisServer(["repl-diskless-sync-delay 0"])
        let replica = try RedisServer(["replicaof 127.0.0.1 \(primary.port)"])
        let bus = TestFleet.bus(primary.port, replica.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        // A replica hears nothing before it has confirmed its copy, up to a second after that has come.
        try await until("the replica") {
            let replication = try primary.run(["INFO", "replication"])
            return replication.contains("state=online") && !replication.contains("offset=0,")
        }
        let first = try await fleet.order(.tag("1"), on: bus)
        #expect(first.isSuccess && first.replicas == 1 && first.confirmed == 1)
        // The replica loses its primary; what comes now is on one server only.
        try replica.run(["REPLICAOF", "NO", "ONE"])
        try await Task.sleep(for: .milliseconds(100))
        edge.store.store(Self.a)
        let second = try await fleet.order(.url(Self.a), on: TestFleet.bus(primary.port))
        #expect(second.isSuccess && edge.store.items.isEmpty)
        edge.store.store("https://www.test/b")
        let confirmations = edge.store.confirmations
        primary.kill()
        try await until("doubt") { edge.store.confirmations > confirmations }
        #expect(edge.store.items == ["https://www.test/b": .unconfirmed])
        // The order is done at the edge, and stays done; the next one is in its place.
        #expect(try await fleet.order(.tag("3"), on: bus).isSuccess)
        #expect(edge.store.purged.map(\.targets) == [[.tag("1")], [.url(Self.a)], [.tag("3")]])
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    @Test("Sentinels say where the primary is, before a failover and after")
    func sentinel() async throws {
        let primary = try RedisServer(["repl-diskless-sync-delay 0"])
        let replica = try RedisServer([
            "replicaof 127.0.0.1 \(primary.port)", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1",
        ])
        try await until("the replica") { try replica.run(["ROLE"]).contains("connected") }
        let sentinel = try RedisServer(
            [
                "sentinel monitor main 127.0.0.1 \(primary.port) 1", "sentinel down-after-milliseconds main 300",
                "sentinel failover-timeout main 2000",
            ], mode: ["--sentinel"])
        let bus = TestFleet.bus(sentinel.port, sentinel: .init(primary: "main"))
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        try await until("the sentinel's knowing the replica") {
            try sentinel.run(["SENTINEL", "replicas", "main"]).contains("\(replica.port)")
        }
        primary.kill()
        try await until("the failover") {
            try sentinel.run(["SENTINEL", "get-master-addr-by-name", "main"]).contains("\(replica.port)")
        }
        let outcome = try await fleet.order(.tag("2"), on: bus, expected: ["paris"], timeout: 15_000)
        #expect(outcome.isSuccess, "\(outcome) \(edge.log.all)")
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    @Test("Slow: everything takes its time, and nothing is lost")
    func slow() async throws {
        let server = try RedisServer()
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        edge.store.store(Self.a)
        async let pause = blocking { try server.run(["CLIENT", "PAUSE", "900", "ALL"]) }
        try await Task.sleep(for: .milliseconds(100))
        let start = ContinuousClock.now
        let outcome = try await fleet.order(.url(Self.a), on: bus)
        #expect(ContinuousClock.now - start > .milliseconds(500))
        _ = try await pause
        #expect(outcome.isSuccess && edge.store.items.isEmpty)
        #expect(edge.store.removals == 0)
        await edge.stop()
    }

    @Test("Full: the order is refused, keeps its number, and is written with the next one; edges go on")
    func full() async throws {
        let server = try RedisServer(["maxmemory-policy noeviction"])
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", bus)
        try await edge.following()
        #expect(try await fleet.order(.tag("1"), on: bus).isSuccess)
        try server.run(["CONFIG", "SET", "maxmemory", "1"])
        do {
            _ = try await fleet.order(.tag("2"), on: bus)
            Issue.record("it was taken")
        } catch let failure as FleetDesk.Failure {
            guard case .notTaken(let text) = failure else {
                Issue.record("\(failure)")
                return
            }
            #expect(text.hasPrefix("OOM"))
        }
        try await until("the edge's complaint") { edge.status.problem?.contains("OOM") == true }
        try server.run(["CONFIG", "SET", "maxmemory", "0"])
        #expect(try await fleet.order(.tag("3"), on: bus).isSuccess)
        try await until("the end of the complaint") { edge.status.problem == nil }
        // The bus had the order in its hands, whatever it says: no other may have its number.
        #expect(edge.store.purged.map(\.targets) == [[.tag("1")], [.tag("2")], [.tag("3")]])
        #expect(edge.store.removals == 0)
        #expect(edge.log.count("does not take this edge's reports") == 1)
        await edge.stop()
    }

    @Test("The network is cut for one edge: it serves on and is named; when it is back, it does what it missed")
    func cut() async throws {
        let server = try RedisServer()
        let gate = try await TestGate(to: server.port)
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let near = try await fleet.edge("near", bus)
        let far = try await fleet.edge("far", TestFleet.bus(gate.port))
        try await near.following()
        try await far.following()
        near.store.store(Self.a)
        far.store.store(Self.a)
        gate.cut()
        let outcome = try await fleet.order(.url(Self.a), on: bus, timeout: 700)
        #expect(!outcome.isSuccess)
        #expect(outcome.progress.done.map(\.name) == ["near"])
        #expect(near.store.items.isEmpty && far.store.items[Self.a] == .fresh)
        try await until("the loss", seconds: 8) { !far.status.isFollowing }
        gate.mend()
        try await far.following()
        #expect(far.store.items.isEmpty && far.store.removals == 0)
        #expect(try await fleet.order(.tag("next"), on: bus).isSuccess)
        for edge in [near, far] { await edge.stop() }
        try await gate.close()
    }

    @Test("No bus at the start: an edge with a filled store waits for its time, and then uses nothing unconfirmed")
    func absentAtStart() async throws {
        let server = try RedisServer(isDurable: true)
        let bus = TestFleet.bus(server.port)
        let fleet = try TestFleet()
        let store = TestStore()
        let first = try await fleet.edge("paris", bus, store: store, record: "paris")
        try await first.following()
        try await fleet.order(.tag("1"), on: bus)
        store.store(Self.a, "https://www.test/b")
        await first.stop()
        try await fleet.order(.url(Self.a), on: bus, timeout: 50)
        server.kill()
        let start = ContinuousClock.now
        let confirmations = store.confirmations
        let again = try await fleet.edge("paris", bus, store: store, record: "paris")
        #expect(ContinuousClock.now - start < .seconds(3))
        #expect(store.confirmations == confirmations + 1)
        #expect(store.items == [Self.a: .unconfirmed, "https://www.test/b": .unconfirmed])
        try server.restart()
        try await again.following()
        #expect(store.items == ["https://www.test/b": .unconfirmed])
        await again.stop()
    }

    @Test("Users, passwords and TLS: only with all of them right is there a bus")
    func access() async throws {
        let fleet = try TestFleet()
        let site = try TestSiteAuthority(name: "bus authority")
        let certificate = try site.issueSite(domains: ["localhost"], keyType: .p256)
        for (name, text) in [
            ("bus.pem", certificate.chainPEM), ("bus.key", certificate.keyPEM), ("ca.pem", site.certificatePEM),
        ] {
            try Data(text.utf8).write(to: fleet.folder.appending(path: name))
        }
        let server = try RedisServer(
            [
                "user default off",
                "user edge on >edge-password ~latchstring:{test}:* resetchannels -@all +hello +client|setname +time +get +set +xread +xrange +xadd +hset",
                "user command on >command-password ~latchstring:{test}:* resetchannels -@all +hello +client|setname +time +get +set +xread +xrange +xrevrange +xadd +hgetall +hdel +role +wait",
            ], tls: (fleet.path("bus.pem"), fleet.path("bus.key")))
        func bus(_ user: String, _ password: String, host: String = "localhost") -> BusConfiguration {
            var bus = TestFleet.bus(
                server.tlsPort ?? 0, tls: true, login: .init(user: user, password: Array(password.utf8)))
            bus.addresses[0].host = host
            return bus
        }
        let roots = fleet.path("ca.pem")
        let edge = try await fleet.edge("paris", bus("edge", "edge-password"), roots: roots)
        try await edge.following()
        let desk = try await fleet.desk(bus("command", "command-password"), roots: roots)
        let outcome = try await desk.order(FleetPurge(targets: [.everything], isSoft: false), by: fleet.key)
        #expect(outcome.isSuccess)
        await desk.close()

        func refusal(_ bus: BusConfiguration, roots: String?) async throws -> String {
            let desk = try await fleet.desk(bus, roots: roots)
            defer { Task { await desk.close() } }
            do {
                _ = try await desk.census(timeout: 1000)
                return "none"
            } catch {
                return "\(error)"
            }
        }
        #expect(try await refusal(bus("command", "wrong"), roots: roots).contains("WRONGPASS"))
        #expect(try await refusal(bus("edge", "edge-password"), roots: roots).contains("NOPERM"))
        #expect(try await refusal(bus("command", "command-password"), roots: nil).contains("TLS"))
        // The certificate is for localhost, and for no address.
        #expect(
            try await refusal(bus("command", "command-password", host: "127.0.0.1"), roots: roots).contains("rediss://")
        )
        // Nothing secret in what is said.
        #expect(try await !refusal(bus("command", "wrong"), roots: roots).contains("wrong,"))
        await edge.stop()
    }

    @Test("What speaks no RESP3 is given up, and the edge goes on without it")
    func noServer() async throws {
        let listener = try TestListener()
        let workers = Workers()
        workers.run {
            for _ in 0..<3 {
                let socket = try listener.accept()
                try? socket.send(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
                socket.close()
            }
        }
        let fleet = try TestFleet()
        let edge = try await fleet.edge("paris", TestFleet.bus(listener.port))
        try await until("the reason") { edge.status.problem?.contains("no known type") == true }
        listener.close()
        await edge.stop()
    }
}
