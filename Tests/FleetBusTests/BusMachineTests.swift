import FleetBus
import Testing

@Suite("A connection to the bus is kept up")
struct BusMachineTests {
    private static let first = BusAddress(host: "a", port: 1, usesTLS: true)
    private static let second = BusAddress(host: "b", port: 2, usesTLS: true)

    private static func greeting(role: String = "master", mode: String = "standalone", proto: Int64 = 3) -> RESPValue {
        func pair(_ key: String, _ value: RESPValue) -> RESPValue.Pair { .init(.string(key), value) }
        return .map([
            pair("server", .string("redis")), pair("version", .string("7.0.15")), pair("proto", .integer(proto)),
            pair("mode", .string(mode)), pair("role", .string(role)),
        ])
    }

    private static func machine(sentinel: BusConfiguration.Sentinel? = nil) -> BusMachine {
        BusMachine(
            BusConfiguration(
                addresses: [Self.first, Self.second], login: .init(user: "edge", password: Array("secret".utf8)),
                sentinel: sentinel))
    }

    private static func lost(_ actions: [BusMachine.Action]) -> BusFailure? {
        actions.lazy.compactMap { if case .lost(let failure) = $0 { failure } else { nil } }.first
    }

    @Test("It logs in, and is ready with a primary")
    func ready() throws {
        var machine = Self.machine()
        #expect(machine.start(at: 0) == [.dial(Self.first)])
        #expect(
            machine.connected(at: 1) == [
                .send([RESPCommand("HELLO", "3", "AUTH", "edge", "secret", "SETNAME", "latchstring")])
            ])
        let actions = machine.received(Self.greeting(), at: 2, random: 0)
        guard case .ready(let server)? = actions.first else {
            Issue.record("not ready: \(actions)")
            return
        }
        #expect(server.version == "7.0.15" && server.address == Self.first)
        #expect(machine.wakeAt == nil)
        let (tickets, sent) = try machine.submit([RESPCommand("PING"), RESPCommand("TIME")], timeout: 100, at: 10)
        #expect(sent == [.send([RESPCommand("PING"), RESPCommand("TIME")])])
        #expect(machine.wakeAt == 110)
        #expect(machine.received(.push([]), at: 11, random: 0).isEmpty)
        #expect(machine.received(.string("PONG"), at: 11, random: 0) == [.deliver(ticket: tickets[0], .string("PONG"))])
        // A deadline: the other command fails, and the next address is tried at once.
        #expect(
            machine.timePassed(at: 110, random: 0) == [
                .close, .fail(ticket: tickets[1], .silent(Self.first)), .lost(.silent(Self.first)), .dial(Self.second),
            ])
    }

    @Test("Addresses are tried in turn, then there is a wait that grows, with jitter, up to five seconds")
    func backOff() {
        var machine = Self.machine()
        var now: Int64 = 0
        _ = machine.start(at: now)
        var waits: [Int64] = []
        for _ in 0..<10 {
            #expect(machine.connectFailed("no", at: now, random: 1).last == .dial(Self.second))
            #expect(machine.connectFailed("no", at: now, random: 1).count == 1)
            let until = machine.wakeAt ?? -1
            waits.append(until - now)
            #expect(machine.timePassed(at: until - 1, random: 1).isEmpty)
            now = until
            #expect(machine.timePassed(at: now, random: 1) == [.dial(Self.first)])
        }
        #expect(waits == [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000])
        var other = Self.machine()
        _ = other.start(at: 0)
        _ = other.connectFailed("no", at: 0, random: 0)
        _ = other.connectFailed("no", at: 0, random: 0)
        #expect(other.wakeAt == 50)
        // A greeting alone does not make the waits short again, nor does a reply: being of use for a while does.
        _ = machine.connected(at: now)
        _ = machine.received(Self.greeting(), at: now, random: 1)
        _ = machine.closed(at: now, random: 1)
        _ = machine.connectFailed("no", at: now, random: 1)
        #expect(machine.wakeAt == now + 5000)
    }

    @Test("A bus that answers once and breaks, again and again, is tried less and less often, at several addresses too")
    func flapping() throws {
        var machine = Self.machine()
        var now: Int64 = 0
        var waits: [Int64] = []
        func answerAndBreak() throws -> [BusMachine.Action] {
            _ = machine.connected(at: now)
            _ = machine.received(Self.greeting(), at: now, random: 1)
            _ = try machine.submit([RESPCommand("GET", "a")], timeout: 100, at: now)
            _ = machine.received(.null, at: now, random: 1)
            return machine.closed(at: now, random: 1)
        }
        _ = machine.start(at: now)
        for _ in 0..<8 {
            #expect(try answerAndBreak().last == .dial(Self.second))
            #expect(try answerAndBreak().count == 1)
            let until = try #require(machine.wakeAt)
            waits.append(until - now)
            now = until
            _ = machine.timePassed(at: now, random: 1)
        }
        #expect(waits == [100, 200, 400, 800, 1600, 3200, 5000, 5000])
        _ = machine.connected(at: now)
        _ = machine.received(Self.greeting(), at: now, random: 1)
        now += 10_000
        #expect(machine.closed(at: now, random: 1).last == .dial(Self.second))
        _ = machine.connectFailed("no", at: now, random: 1)
        #expect(machine.wakeAt == now + 100)
    }

    @Test("What a server says of itself is printed without what a terminal would take for a command")
    func printing() throws {
        var machine = Self.machine(sentinel: .init(primary: "main"))
        _ = machine.start(at: 0)
        _ = machine.connected(at: 0)
        _ = machine.received(Self.greeting(role: "", mode: "sentinel"), at: 0, random: 0)
        let named = machine.received(.array([.string("\u{1B}[2J"), .string("6380")]), at: 0, random: 0)
        #expect(named.contains { if case .lost(.wrongMode) = $0 { true } else { false } })
        var other = Self.machine()
        _ = other.start(at: 0)
        _ = other.connected(at: 0)
        let strange = Self.greeting(role: "\u{1B}]0;x\u{7}r\u{301}" + String(repeating: "z", count: 99))
        guard case .notPrimary(_, let role)? = Self.lost(other.received(strange, at: 0, random: 0)) else {
            Issue.record("it was taken")
            return
        }
        #expect(role == "]0;xr" + String(repeating: "z", count: 27))
    }

    @Test("Replicas, clusters, refusals and strange greetings are no bus")
    func unsuitable() {
        let refusals: [(RESPValue, BusFailure)] = [
            (Self.greeting(role: "replica"), .notPrimary(Self.first, role: "replica")),
            (.error("WRONGPASS no"), .refused(Self.first, "WRONGPASS no")),
            (Self.greeting(proto: 2), .broken(Self.first, "its greeting is none of Redis or Valkey")),
            (.string("OK"), .broken(Self.first, "its greeting is none of Redis or Valkey")),
        ]
        for (reply, failure) in refusals {
            var machine = Self.machine()
            _ = machine.start(at: 0)
            _ = machine.connected(at: 0)
            #expect(machine.received(reply, at: 0, random: 0) == [.close, .lost(failure), .dial(Self.second)])
        }
        for mode in ["cluster", "sentinel"] {
            var machine = Self.machine()
            _ = machine.start(at: 0)
            _ = machine.connected(at: 0)
            guard case .wrongMode? = Self.lost(machine.received(Self.greeting(mode: mode), at: 0, random: 0)) else {
                Issue.record("\(mode) was taken")
                continue
            }
        }
    }

    @Test("Sentinels are asked for the primary, without the server's password")
    func sentinel() {
        var machine = Self.machine(sentinel: .init(primary: "main"))
        #expect(machine.start(at: 0) == [.dial(Self.first)])
        #expect(machine.connected(at: 0) == [.send([RESPCommand("HELLO", "3", "SETNAME", "latchstring")])])
        #expect(
            machine.received(Self.greeting(role: "", mode: "sentinel"), at: 0, random: 0) == [
                .send([RESPCommand("SENTINEL", "get-master-addr-by-name", "main")])
            ])
        let named = BusAddress(host: "10.0.0.5", port: 6380, usesTLS: true)
        #expect(
            machine.received(.array([.string("10.0.0.5"), .string("6380")]), at: 0, random: 0) == [
                .close, .dial(named),
            ])
        guard case .send(let hello)? = machine.connected(at: 0).first else {
            Issue.record("no greeting")
            return
        }
        #expect(hello[0].words.contains(Array("secret".utf8)))
        // An old primary that a sentinel still names is a replica by now: the next sentinel is asked.
        #expect(
            machine.received(Self.greeting(role: "replica"), at: 0, random: 0) == [
                .close, .lost(.notPrimary(named, role: "replica")), .dial(Self.second),
            ])
        _ = machine.connected(at: 0)
        _ = machine.received(Self.greeting(role: "", mode: "sentinel"), at: 0, random: 0)
        guard case .wrongMode? = Self.lost(machine.received(.null, at: 0, random: 0)) else {
            Issue.record("a primary that does not exist was taken")
            return
        }
    }

    @Test("What waits for replies is bounded, and fails when the connection ends")
    func bounds() throws {
        var machine = Self.machine()
        #expect(throws: BusFailure.absent) { try machine.submit([RESPCommand("PING")], timeout: 1, at: 0) }
        _ = machine.start(at: 0)
        _ = machine.connected(at: 0)
        _ = machine.received(Self.greeting(), at: 0, random: 0)
        for _ in 0..<256 { _ = try machine.submit([RESPCommand("PING")], timeout: 1000, at: 0) }
        #expect(throws: BusFailure.full) { try machine.submit([RESPCommand("PING")], timeout: 1, at: 0) }
        let actions = machine.closed(at: 1, random: 0)
        #expect(actions.count { if case .fail = $0 { true } else { false } } == 256)
        #expect(machine.closed(at: 2, random: 0).isEmpty || machine.wakeAt != nil)
    }

    @Test("A reply to nothing ends the connection, and so does a primary that became a replica")
    func misbehaviour() throws {
        var machine = Self.machine()
        _ = machine.start(at: 0)
        _ = machine.connected(at: 0)
        _ = machine.received(Self.greeting(), at: 0, random: 0)
        #expect(machine.received(.string("x"), at: 0, random: 0).first == .close)
        _ = machine.connected(at: 0)
        _ = machine.received(Self.greeting(), at: 0, random: 0)
        let (tickets, _) = try machine.submit([RESPCommand("SET", "a", "b")], timeout: 10, at: 0)
        let reply = RESPValue.error("READONLY You can't write against a read only replica.")
        let actions = machine.received(reply, at: 0, random: 0)
        #expect(actions.prefix(2) == [.deliver(ticket: tickets[0], reply), .close])
        #expect(!machine.isReady)
        #expect(machine.stop().isEmpty || machine.wakeAt == nil)
        #expect(machine.start(at: 5).isEmpty, "stopped for good")
    }
}
