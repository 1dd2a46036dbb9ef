import Admission
import KeyProtocol
import NIOCore
import NIOEmbedded
import PrivateAuthority
import Testing

@testable import KeyHolder

@Suite("A key holder's bounds, and what goes on below them", .timeLimit(.minutes(2)))
struct ServerBoundsTests {
    @Test("Handshakes, connections and each edge's share are counted apart")
    func registry() {
        var limits = KeyHolderLimits()
        limits.handshakes = 2
        limits.connections = 3
        limits.connectionsPerEdge = 2
        let registry = ConnectionRegistry(limits: limits)
        let channels: [EmbeddedChannel] = (0..<8).map { _ in EmbeddedChannel() }
        func accept(_ index: Int) {
            guard case .accepted(nil) = registry.accepted(channels[index], from: ClientNetwork(nil as IPAddress?))
            else {
                Issue.record("connection \(index) was not accepted")
                return
            }
        }
        accept(0)
        accept(1)
        #expect(registry.identified(channels[0], as: "paris") == nil)
        #expect(registry.identified(channels[1], as: "paris") == nil)
        accept(2)
        #expect(registry.identified(channels[2], as: "paris") == .tooManyOfEdge)
        #expect(registry.identified(channels[2], as: "rome") == nil)
        accept(3)
        #expect(registry.identified(channels[3], as: "oslo") == .tooManyConnections)
        registry.closed(channels[0])
        registry.closed(channels[0])
        #expect(registry.count == 2)
        #expect(registry.identified(channels[3], as: "paris") == nil)
        #expect(registry.channels { $0 == "rome" }.count == 2)
        #expect(registry.shutDown().count == 3)
        guard case .refused(.shuttingDown) = registry.accepted(channels[4], from: ClientNetwork(nil as IPAddress?))
        else {
            Issue.record("accepted while shutting down")
            return
        }
    }

    @Test("Fast answers overtake slow ones, and requests beyond the limit are refused as overload")
    func inFlight() async throws {
        var limits = KeyHolderLimits()
        limits.inFlight = 3
        let store = HeldKeyStore()
        let holder = try await TestHolder(limits: limits, keyStore: store)
        let edge = try await holder.edge("paris")
        try edge.send((1...4).map { KeyPacket(id: $0, body: ServerTests.rsaSign) })
        #expect(await edge.next() == .packet(.failure(id: 4, .overloaded)))
        // In place, so not counted.
        #expect(try await edge.ask(ServerTests.p256Sign, id: 5)?.opcode == .success)
        // Another connection has a limit of its own.
        let other = try await holder.edge("paris")
        try other.send([KeyPacket(id: 1, body: ServerTests.rsaSign)])
        await store.gate.arrived(4)
        store.gate.open()
        let late = await edge.answers(3)
        #expect(Set(late.map(\.id)) == [1, 2, 3])
        #expect(late.allSatisfy { $0.body.opcode == .success })
        #expect(await other.answers(1).first?.body.opcode == .success)
        #expect(try await edge.ask(ServerTests.rsaSign, id: 6)?.opcode == .success)
        let lines = try await holder.stop()
        #expect(lines.filter { $0["outcome"] == "overloaded" }.count == 1)
        #expect(lines.filter { $0["outcome"] == "ok" }.count == 6)
    }

    @Test("Thousands of pipelined requests are all answered, to a peer that reads late")
    func pipelining() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let count = 3000
        try edge.send((0..<count).map { KeyPacket(id: UInt32($0), body: ServerTests.p256Sign) }, padded: false)
        let answers = await edge.answers(count)
        #expect(Set(answers.map(\.id)).count == count)
        #expect(answers.allSatisfy { $0.body.opcode == .success })
        let lines = try await holder.stop()
        #expect(lines.count == count)
    }

    @Test("An edge that collects refusals is slowed down, loses no answer, and does not disturb others")
    func refusalFlood() async throws {
        var limits = KeyHolderLimits()
        limits.refusals = 100
        let holder = try await TestHolder(limits: limits)
        let flooding = try await holder.edge("paris")
        let neighbour = try await holder.edge("rome")
        try flooding.send(
            (0..<220).map { KeyPacket(id: $0, body: PolicyFixtures.signRequest("nowhere.test")) }, padded: false)
        #expect(try await neighbour.ask(ServerTests.p256Sign)?.opcode == .success)
        #expect(await flooding.answers(220).count == 220)
        _ = try await holder.stop()
    }

    @Test("One edge cannot take all connections")
    func connectionLimit() async throws {
        var limits = KeyHolderLimits()
        limits.connectionsPerEdge = 1
        let holder = try await TestHolder(limits: limits)
        let first = try await holder.edge("paris")
        #expect(await first.ping())
        let second = try TestHolder.credentials(holder.authority, .edge, "paris")
        #expect(try await ServerTests.isServed(second, holder) == false)
        #expect(try await ServerTests.isServed(try TestHolder.credentials(holder.authority, .edge, "rome"), holder))
        #expect(holder.server.connectionCount >= 1)
        _ = try await holder.stop()
    }

    @Test("Audit off means operations off")
    func auditFull() async throws {
        var limits = KeyHolderLimits()
        limits.auditQueue = 0
        let holder = try await TestHolder(limits: limits)
        let edge = try await holder.edge("paris")
        #expect(try await edge.ask(ServerTests.p256Sign)?.errorCode == .internalError)
        #expect(await edge.ping())
        #expect(try await holder.stop().isEmpty)
    }
}
