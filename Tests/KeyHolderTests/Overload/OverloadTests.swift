import Foundation
import KeyProtocol
import NIOCore
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("A key holder with more work than it can do", .timeLimit(.minutes(2)))
struct OverloadTests {
    /// P-256 keys that take a millisecond, in place.
    struct SlowInPlaceStore: KeyStore {
        struct Key: StoredKey {
            var key: any StoredKey
            var type: KeyType { self.key.type }
            var publicKey: Certificate.PublicKey { self.key.publicKey }

            func cost(of operation: KeyOperation) -> KeyOperationCost { self.key.cost(of: operation) }

            func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
                if case .p256 = self.type { Thread.sleep(forTimeInterval: 0.001) }
                return try self.key.perform(operation)
            }
        }

        func key(
            from source: KeySource, for certified: Certificate.PublicKey
        ) throws(SiteLoadError) -> any StoredKey {
            Key(key: try SoftwareKeyStore().key(from: source))
        }
    }

    static func p256Sign(client: UInt8) -> KeyMessage {
        var message: KeyMessage = ServerTests.p256Sign
        message.clientIP = [192, 0, 2, client]
        return message
    }

    @Test("A ping is answered ahead of work that came before it")
    func pingsFirst() async throws {
        let holder = try await TestHolder(keyStore: SlowInPlaceStore())
        let edge = try await holder.edge("paris")
        let work: [KeyPacket] = (0..<1000).map { KeyPacket(id: $0, body: Self.p256Sign(client: 1)) }
        try edge.send(work + [KeyPacket(id: 5000, body: EdgeBudgetTests.ping)], padded: false)
        let answers: [KeyPacket] = await edge.answers(1001)
        let place: Int = try #require(answers.firstIndex { $0.id == 5000 })
        #expect(place < 500)
        #expect(Set(answers.map(\.id)).count == 1001)
        _ = try await holder.stop()
    }

    @Test("A client of another network is answered ahead of one network's flood, and what is too late is refused early")
    func networks() async throws {
        var limits = KeyHolderLimits()
        limits.requestDeadline = .milliseconds(500)
        let holder = try await TestHolder(limits: limits, keyStore: SlowInPlaceStore())
        let edge = try await holder.edge("paris")
        let flood: [KeyPacket] = (0..<1500).map { KeyPacket(id: $0, body: Self.p256Sign(client: 1)) }
        try edge.send(flood + [KeyPacket(id: 5000, body: Self.p256Sign(client: 2))], padded: false)
        let answers: [KeyPacket] = await edge.answers(1501)
        let place: Int = try #require(answers.firstIndex { $0.id == 5000 })
        let before: Int = answers[..<place].count { $0.body.opcode == .success }
        #expect(answers[place].body.opcode == .success)
        let done: Int = answers.count { $0.body.opcode == .success }
        // In the order of arrival it would be the last.
        #expect(before + 20 < done)
        #expect((100...1400).contains(done))
        let lines = try await holder.stop()
        #expect(lines.contains { $0["outcome"] == "overloaded" })
    }

    @Test("What its edge has given up on is not signed any more")
    func pastDeadline() async throws {
        var limits = KeyHolderLimits()
        limits.signingThreads = 1
        limits.requestDeadline = .milliseconds(200)
        let store = BlockedKeyStore()
        let holder = try await TestHolder(limits: limits, keyStore: store)
        let edge = try await holder.edge("paris")
        try await AbuseTests.queue(4, 1, edge)
        await store.begun()
        try await Task.sleep(for: .milliseconds(300))
        store.open()
        let answers: [KeyPacket] = await edge.answers(4)
        #expect(answers.count { $0.body.opcode == .success } == 1)
        #expect(store.marks == [1])
        let lines = try await holder.stop()
        #expect(lines.filter { $0["outcome"] == "past-deadline" }.count == 3)
    }

    @Test("What waits of one edge, on however many connections, leaves room for the audit lines of others")
    func roomForOthers() async throws {
        var limits = KeyHolderLimits()
        limits.auditQueue = 600
        limits.inFlightPerEdge = 60
        limits.requestDeadline = .seconds(30)
        let holder = try await TestHolder(limits: limits, keyStore: SlowInPlaceStore())
        let rome = try await holder.edge("rome")
        let paris = [try await holder.edge("paris"), try await holder.edge("paris"), try await holder.edge("paris")]
        for edge in paris {
            try edge.send((0..<800).map { KeyPacket(id: $0, body: Self.p256Sign(client: 1)) }, padded: false)
        }
        for id in 0..<20 as Range<UInt32> {
            #expect(try await rome.ask(Self.p256Sign(client: 2), id: id)?.opcode == .success)
        }
        for edge in paris { #expect(await edge.answers(800).count == 800) }
        _ = try await holder.stop()
    }
}
