import KeyProtocol
import NIOCore
import Testing

@testable import KeyHolder

@Suite("Requests that an edge takes back", .timeLimit(.minutes(2)))
struct CancelledRequestTests {
    /// A key holder with one signing thread, and room for three slow requests on a connection.
    private static func stage() async throws -> (TestHolder, BlockedKeyStore, TestEdge) {
        var limits = KeyHolderLimits()
        limits.signingThreads = 1
        limits.inFlight = 3
        // They wait for longer here than an edge would.
        limits.requestDeadline = .seconds(30)
        let store = BlockedKeyStore()
        let holder = try await TestHolder(limits: limits, keyStore: store)
        return (holder, store, try await holder.edge("paris"))
    }

    private static func cancel(_ id: UInt32) -> KeyPacket { KeyPacket(id: id, body: KeyMessage(opcode: .cancel)) }

    private static func sign(_ ids: ClosedRange<UInt32>) -> [KeyPacket] {
        ids.map { KeyPacket(id: $0, body: AbuseTests.rsaSign(UInt8($0))) }
    }

    private static func byID(_ packets: [KeyPacket]) -> [UInt32: KeyMessage] {
        Dictionary(packets.map { ($0.id, $0.body) }) { first, _ in first }
    }

    @Test("One that waits is not signed, is audited as taken back, and gives its place back")
    func waiting() async throws {
        let (holder, store, edge) = try await Self.stage()
        try edge.send(Self.sign(1...1))
        await store.begun()
        try edge.send(Self.sign(2...3))
        #expect(try await edge.ask(AbuseTests.rsaSign(4), id: 4)?.errorCode == .overloaded)
        try edge.send([Self.cancel(2)])
        // It was read.
        #expect(await edge.ping())
        store.open()
        let answers = Self.byID(await edge.answers(3))
        #expect(answers[1]?.opcode == .success && answers[3]?.opcode == .success)
        #expect(answers[2]?.errorCode == .cancelled)
        #expect(store.marks == [1, 3])
        // There is room for three again.
        try edge.send(Self.sign(5...7))
        #expect(await edge.answers(3).allSatisfy { $0.body.opcode == .success })
        #expect(store.marks.count == 5)
        let lines = try await holder.stop()
        #expect(lines.filter { $0["outcome"] == "ok" }.count == 5)
        #expect(lines.filter { $0["outcome"] == "cancelled" }.count == 1)
        #expect(lines.filter { $0["outcome"] == "overloaded" }.count == 1)
        #expect(lines.count == 7, "\(lines)")
    }

    @Test("One whose signature is being made is answered, and audited as made")
    func underWay() async throws {
        let (holder, store, edge) = try await Self.stage()
        try edge.send(Self.sign(1...1))
        await store.begun()
        try edge.send([Self.cancel(1)])
        #expect(await edge.ping())
        store.open()
        #expect(await edge.answers(1).first?.body.opcode == .success)
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok"])
    }

    @Test(
        "What was never asked, or is answered, is taken back without an answer; another edge's is no other's to take back"
    )
    func unknown() async throws {
        let (holder, store, edge) = try await Self.stage()
        let other = try await holder.edge("rome")
        try edge.send(Self.sign(1...1))
        await store.begun()
        try edge.send(Self.sign(2...2))
        try other.send([Self.cancel(1), Self.cancel(2)])
        #expect(await other.ping())
        try edge.send([Self.cancel(77)])
        #expect(await edge.ping())
        store.open()
        let answers = Self.byID(await edge.answers(2))
        #expect(answers[1]?.opcode == .success && answers[2]?.opcode == .success)
        try edge.send([Self.cancel(1), Self.cancel(2)])
        #expect(await edge.ping())
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok", "ok"])
    }
}
