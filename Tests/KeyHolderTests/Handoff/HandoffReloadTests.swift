import KeyProtocol
import NIOCore
import NIOSSL
import PrivateAuthority
import Testing

@testable import KeyHolder

@Suite("Handoff when grants and keys change, or an end comes", .timeLimit(.minutes(2)))
struct HandoffReloadTests {
    @Test("A grant that goes between the turns ends the handshake; a new key does where the old one is revoked")
    func reloadBetweenTurns() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let progress = try await edge.begin(hello)
        var configuration = holder.configuration
        configuration.grants = [
            try PolicyFixtures.grant("paris", "p256.test", operations: KeyProtocol.Operation.keyless)
        ]
        try holder.server.reload(configuration)
        try await client.take(progress.serverBytes)
        let bytes: ByteBuffer = try await client.bytes()
        await #expect(throws: KeyErrorCode.keyNotFound) { try await edge.proceed(progress.handshake, bytes) }
        // The same grants again, and another key.
        configuration = holder.configuration
        try holder.server.reload(configuration)
        let (third, last) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let begun = try await edge.begin(last)
        let renewed = try TestHolder.siteAuthority.get().issueSite(
            domains: ["p256.test", "*.p256.test"], keyType: .p256)
        configuration.sites[0] = TestHolder.site(renewed)
        try holder.server.reload(configuration)
        try await third.take(begun.serverBytes)
        let reply: ByteBuffer = try await third.bytes()
        _ = try await edge.proceed(begun.handshake, reply)
        let (fourth, revoked) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let ending = try await edge.begin(revoked)
        try holder.server.reload(holder.configuration, revokingReplaced: true)
        try await fourth.take(ending.serverBytes)
        let late: ByteBuffer = try await fourth.bytes()
        await #expect(throws: KeyErrorCode.keyNotFound) { try await edge.proceed(ending.handshake, late) }
        #expect(try await edge.servesHandoff())
        for client in [client, third, fourth] { await client.end() }
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["denied", "ok", "denied", "ok"])
    }

    @Test("A reload that changes nothing disturbs no handshake")
    func harmlessReload() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        let progress = try await edge.begin(hello)
        try holder.server.reload(holder.configuration)
        try await client.take(progress.serverBytes)
        let exported = try await edge.proceed(progress.handshake, try await client.bytes())
        guard case .exported = exported.state else { throw HandoffTestError.notExported(exported) }
        await client.end()
        #expect(try await holder.stop().map { $0["outcome"] } == ["ok"])
    }

    @Test("An edge that is cut off, or a key holder that stops, ends its handshakes", arguments: [false, true])
    func ends(isStop: Bool) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let (client, hello) = try await HandoffClient.hello { $0.maximumTLSVersion = .tlsv12 }
        _ = try await edge.begin(hello)
        if !isStop {
            var configuration = holder.configuration
            configuration.grants = try TestHolder.grants(["rome"])
            try holder.server.reload(configuration)
            #expect(await edge.next() == nil)
        }
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.filter { $0["operation"] == "handoff" }.map { $0["outcome"] } == ["abandoned"])
    }
}
