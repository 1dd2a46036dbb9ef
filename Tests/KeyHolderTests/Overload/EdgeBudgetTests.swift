import Admission
import KeyProtocol
import NIOCore
import NIOPosix
import NIOSSL
import TLSWire
import Testing

@testable import KeyHolder

@Suite("What one edge may cost", .timeLimit(.minutes(2)))
struct EdgeBudgetTests {
    static let ping = KeyMessage(opcode: .ping, payload: ByteBuffer(bytes: [1]))

    @Test("A debt is paid at the bucket's rate, and is one second's tokens at most")
    func debt() {
        var bucket = TokenBucket(perSecond: 100, burst: 50, now: 0)
        let waits: [UInt64] = [50, 10, 1000].map { bucket.charge($0, now: 0) }
        #expect(waits == [0, 100_000_000, 1_000_000_000])
        let taken: [Bool] = [1_000_000_000, 1_010_000_000].map { bucket.take(now: $0) }
        #expect(taken == [false, true])
    }

    @Test("Every packet counts, on all connections of an edge together")
    func packets() {
        var limits = KeyHolderLimits()
        limits.packetsPerEdge = 100
        let accounts = EdgeAccounts(limits)
        let one = accounts.account(of: "paris", now: 0)
        #expect(one.packets(10, now: 0) == 0)
        #expect(accounts.account(of: "paris", now: 0).packets(10, now: 0) == 100_000_000)
        #expect(accounts.account(of: "rome", now: 0).packets(10, now: 0) == 0)
        // A reload that drops an edge forgets it.
        accounts.keep { $0 == "rome" }
        #expect(accounts.account(of: "paris", now: 0).packets(10, now: 0) == 0)
    }

    @Test("A turn at an event loop ends after some packets or some time, and time counts as packets")
    func turns() {
        var turn = IntakeTurn(now: 1000, threadTime: 7, worked: 50)
        #expect(!turn.isOver(now: 9_000_000))
        turn.packets = 1
        #expect(!turn.isOver(now: 1_000_000))
        #expect(turn.isOver(now: 1_002_000))
        turn.packets = IntakeTurn.size
        #expect(turn.isOver(now: 1000))
        #expect(turn.cost(now: 1000, threadTime: 7, worked: 50) == IntakeTurn.size)
        #expect(turn.cost(now: 1_001_000, threadTime: 1_000_007, worked: 50) == 100)
        // What was work meanwhile does not count.
        #expect(turn.cost(now: 1_001_000, threadTime: 1_000_007, worked: 100_050) == 90)
        // Nor does time in which others had the core: no edge is read more slowly because the machine is busy.
        #expect(turn.cost(now: 20_001_000, threadTime: 700_007, worked: 50) == 70)
    }

    /// Sends the packets on two connections of one edge, and returns how long all the answers took.
    static func time(_ packets: [KeyPacket], _ holder: TestHolder) async throws -> Duration {
        let one = try await holder.edge("paris")
        let two = try await holder.edge("paris")
        #expect(await one.ping())
        #expect(await two.ping())
        let clock = ContinuousClock()
        return try await clock.measure {
            try one.send(packets, padded: false)
            try two.send(packets, padded: false)
            #expect(await one.answers(packets.count).count == packets.count)
            #expect(await two.answers(packets.count).count == packets.count)
        }
    }

    @Test("An edge's pings have one rate on all its connections; others are answered as before")
    func pings() async throws {
        var limits = KeyHolderLimits()
        limits.pingsPerEdge = 200
        let holder = try await TestHolder(limits: limits)
        let neighbour = try await holder.edge("rome")
        async let time: Duration = Self.time((0..<400).map { KeyPacket(id: $0, body: Self.ping) }, holder)
        #expect(try await neighbour.ask(ServerTests.p256Sign)?.opcode == .success)
        // 800 pings, a burst of 400.
        #expect(try await time > .seconds(1))
        _ = try await holder.stop()
    }

    @Test("An edge's packets have one rate on all its connections")
    func packetsOverTheWire() async throws {
        var limits = KeyHolderLimits()
        limits.packetsPerEdge = 400
        let holder = try await TestHolder(limits: limits)
        let packets: [KeyPacket] = (0..<400).map { KeyPacket(id: $0, body: ServerTests.p256Sign) }
        // 800 packets, a burst of 40.
        #expect(try await Self.time(packets, holder) > .milliseconds(700))
        _ = try await holder.stop()
    }

    @Test("An edge's refusals have one rate on all its connections")
    func refusals() async throws {
        var limits = KeyHolderLimits()
        limits.refusals = 100
        let holder = try await TestHolder(limits: limits)
        let refused: [KeyPacket] = (0..<200).map {
            KeyPacket(id: $0, body: PolicyFixtures.signRequest("nowhere.test"))
        }
        // 400 refusals, a burst of 200.
        #expect(try await Self.time(refused, holder) > .seconds(1))
        _ = try await holder.stop()
    }

    @Test("A pong repeats no more than fits in a padded packet")
    func longPing() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        func answer(_ count: Int) async throws -> KeyMessage? {
            try await edge.ask(KeyMessage(opcode: .ping, payload: ByteBuffer(repeating: 7, count: count)))
        }
        #expect(try await answer(512)?.opcode == .pong)
        #expect(try await answer(513)?.errorCode == .formatError)
        #expect(try await answer(60_000)?.errorCode == .formatError)
        _ = try await holder.stop()
    }

    // MARK: Accept

    @Test("A connection costs no TLS context before a whole ClientHello has come")
    func noContextAtAccept() async throws {
        let holder = try await TestHolder()
        let registry: ConnectionRegistry = holder.server.core.registry
        let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(to: holder.address).get()
        func hasTLS() async throws -> Bool {
            var accepted: [any Channel] = []
            while accepted.isEmpty {
                accepted = registry.pending
                await Task.yield()
            }
            let channel: any Channel = accepted[0]
            return try await channel.eventLoop.submit {
                (try? channel.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)) != nil
            }.get()
        }
        #expect(try await hasTLS() == false)
        // A record header that promises a hello, and its first byte.
        try await client.writeAndFlush(ByteBuffer(bytes: [22, 3, 1, 0, 200, 1])).get()
        try await Task.sleep(for: .milliseconds(50))
        #expect(try await hasTLS() == false)
        try await client.close()
        // An edge gets there.
        let edge = try await holder.edge("paris")
        #expect(await edge.ping())
        _ = try await holder.stop()
    }
}
