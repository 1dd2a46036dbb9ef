import KeyProtocol
import NIOCore
import Testing

@testable import KeyHolder

@Suite("Handoff while a slow key is at work", .timeLimit(.minutes(2)))
struct HandoffSlowKeyTests {
    /// The key has work, which packet 5 asked for: the first handshake of the edge's connection.
    private static func begun() async throws -> (HeldKeyStore, TestHolder, TestEdge, HandoffClient) {
        let store = HeldKeyStore()
        let holder = try await TestHolder(keyStore: store)
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello("rsa.test")
        let begin = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: hello)
        try edge.send([
            KeyPacket(id: 5, body: TestEdge.message(.handshakeBegin, "rsa.test", try begin.encoded()))
        ])
        await store.gate.arrived(1)
        return (store, holder, edge, client)
    }

    @Test("While a slow key is at work, requests for its handshake are refused and others go on")
    func slowKey() async throws {
        let (store, holder, edge, client) = try await Self.begun()
        let record = ByteBuffer(bytes: [22, 3, 3, 0, 1, 1])
        await #expect(throws: KeyErrorCode.formatError) { try await edge.proceed(1, record) }
        #expect(try await edge.servesHandoff())
        store.gate.open()
        let answer: KeyPacket = try #require(await edge.answers(1).first)
        #expect(answer.id == 5)
        let progress = try HandshakeProgress(decoding: answer.body.payload)
        #expect(try await LentSession.finish(client, progress).tickets.readableBytes > 0)
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["format-error", "ok", "ok"])
    }

    @Test("A handshake that is forgotten while a slow key is at work never comes back")
    func forgottenWhileSlow() async throws {
        let (store, holder, edge, client) = try await Self.begun()
        try edge.send([
            KeyPacket(id: 6, body: TestEdge.message(.handshakeForget, nil, HandshakeForget(handshake: 1).encoded()))
        ])
        let answers: [KeyPacket] = await edge.answers(2)
        #expect(answers.first { $0.id == 5 }?.body.errorCode == .internalError)
        #expect(answers.first { $0.id == 6 }?.body.opcode == .success)
        store.gate.open()
        #expect(try await edge.servesHandoff())
        await client.end()
        #expect(try await holder.stop().map { $0["outcome"] } == ["abandoned", "ok"])
    }

    @Test("A grant that goes while a slow key is at work takes the session with it")
    func reloadWhileSlow() async throws {
        let (store, holder, edge, client) = try await Self.begun()
        var configuration = holder.configuration
        configuration.grants = [
            try PolicyFixtures.grant("paris", "p256.test", operations: [.certificate, .handoff], rate: 1000),
            try PolicyFixtures.grant("paris", "rsa.test", operations: KeyProtocol.Operation.keyless),
        ]
        try holder.server.reload(configuration)
        store.gate.open()
        let answer: KeyPacket = try #require(await edge.answers(1).first)
        #expect(answer.body.errorCode == .keyNotFound)
        #expect(try await edge.servesHandoff())
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["denied", "ok"])
        // What was about to be lent is known.
        #expect(lines[0]["tls_version"] == "TLS 1.3")
    }

    @Test("A key holder that stops lets a slow key finish its handshake's turn")
    func stopWhileSlow() async throws {
        let (store, holder, edge, client) = try await Self.begun()
        async let lines = holder.stop()
        store.gate.open()
        #expect(await edge.answers(1).first?.body.opcode == .success)
        await client.end()
        #expect(try await lines.map { $0["outcome"] } == ["ok"])
    }
}
