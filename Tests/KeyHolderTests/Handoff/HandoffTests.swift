import KeyProtocol
import NIOCore
import NIOSSL
import RecordLayer
import TLSWire
import Testing

@testable import KeyHolder

@Suite("Handoff: the key holder shakes hands through an edge", .timeLimit(.minutes(2)))
struct HandoffTests {
    @Test("TLS 1.3 with each kind of key", arguments: ["p256.test", "rsa.test", "ed.test"])
    func tls13(name: String) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient(name)
        let lent = try await LentSession.shake(client, edge, name: name)
        try await lent.exchange(client)
        #expect(lent.exported.suite.version == .tls13)
        #expect(lent.exported.applicationProtocol == Array("h2".utf8))
        #expect(lent.exported.clientSequence == 0 && lent.exported.serverSequence == 0)
        #expect(lent.tickets.readableBytes > 0)
        await client.end()
        await edge.close()
        let lines = try await holder.stop()
        #expect(lines.count == 1)
        #expect(lines[0]["operation"] == "handoff" && lines[0]["outcome"] == "ok" && lines[0]["edge"] == "paris")
        #expect(lines[0]["site"] == name && lines[0]["name"] == name && lines[0]["client"] == "192.0.2.7")
        #expect(lines[0]["tls_version"] == "TLS 1.3" && lines[0]["resumed"] == "0")
        #expect(lines[0]["cipher_suite"]?.hasPrefix("TLS_") == true)
    }

    @Test(
        "Each group, with or without a HelloRetryRequest",
        arguments: [
            [NIOTLSCurve.x25519_MLKEM768, .x25519], [.x25519], [.secp256r1], [.secp384r1],
            [.secp521r1, .secp256r1], [.secp521r1, .x25519_MLKEM768],
        ])
    func groups(curves: [NIOTLSCurve]) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient("p256.test") { $0.curves = curves }
        let hello: ByteBuffer = try await client.bytes()
        let progress = try await edge.begin(hello)
        // P-521 is what the server does not have; beside it the client offers only what it takes for the future.
        #expect((progress.state == .needsMore) == (curves == [.secp521r1, .secp256r1]))
        if progress.state == .needsMore { try await edge.forget(progress.handshake) }
        let again = try await HandoffClient("p256.test") { $0.curves = curves }
        let lent = try await LentSession.shake(again, edge)
        try await lent.exchange(again)
        await again.end()
        await client.end()
        _ = try await holder.stop()
    }

    @Test("TLS 1.2 with each kind of key", arguments: ["p256.test", "rsa.test", "ed.test"])
    func tls12(name: String) async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient(name) { $0.maximumTLSVersion = .tlsv12 }
        let lent = try await LentSession.shake(client, edge, name: name)
        try await lent.exchange(client)
        #expect(lent.exported.suite.version == .tls12)
        #expect(lent.exported.applicationProtocol == Array("h2".utf8))
        #expect(lent.exported.clientSequence == 1 && lent.exported.serverSequence == 1)
        await client.end()
        // It has ended for the key holder as well.
        await #expect(throws: KeyErrorCode.formatError) { try await edge.forget(1) }
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok"])
        #expect(lines[0]["tls_version"] == "TLS 1.2" && lines[0]["resumed"] == "0")
    }

    @Test("The protocol is what the edge prefers of what the client offers, or none")
    func applicationProtocols() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        for version in [NIOSSL.TLSVersion.tlsv12, .tlsv13] {
            for (offered, served, expected) in [
                (["http/1.1", "h2"], ["h2", "http/1.1"], "h2"), (["h2", "http/1.1"], ["http/1.1", "h2"], "http/1.1"),
                (["h2", "http/1.1"], ["http/1.1"], "http/1.1"), ([], ["h2"], nil),
            ] as [([String], [String], String?)] {
                let client = try await HandoffClient("p256.test") {
                    $0.applicationProtocols = offered
                    $0.maximumTLSVersion = version
                }
                let lent = try await LentSession.shake(client, edge, protocols: served)
                #expect(lent.exported.applicationProtocol == expected.map { Array($0.utf8) })
                await client.end()
            }
            let other = try await HandoffClient("p256.test") {
                $0.applicationProtocols = ["h2"]
                $0.maximumTLSVersion = version
            }
            let progress = try await edge.begin(try await other.bytes(), protocols: ["http/1.1"])
            #expect(progress.state == .failed(reason: "the client offers no application protocol of ours"))
            #expect(progress.serverBytes == Alert(.noApplicationProtocol).record())
            await other.end()
        }
        _ = try await holder.stop()
    }

    @Test("A client without SNI gets the site that the edge names; one with another name gets nothing")
    func serverName() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let nameless = try await HandoffClient(nil)
        _ = try await LentSession.shake(nameless, edge)
        let wildcard = try await HandoffClient("www.p256.test")
        _ = try await LentSession.shake(wildcard, edge, name: "WWW.p256.test")
        for (asked, named) in [("rsa.test", "p256.test"), ("p256.test", "www.p256.test"), ("x.test", "rsa.test")] {
            let client = try await HandoffClient(asked)
            let hello: ByteBuffer = try await client.bytes()
            await #expect(throws: KeyErrorCode.formatError) { try await edge.begin(hello, name: named) }
            await client.end()
        }
        let client = try await HandoffClient("x.test")
        let hello: ByteBuffer = try await client.bytes()
        await #expect(throws: KeyErrorCode.keyNotFound) { try await edge.begin(hello, name: "x.test") }
        for client in [nameless, wildcard, client] { await client.end() }
        let lines = try await holder.stop()
        #expect(
            lines.map { $0["outcome"] } == ["ok", "ok", "format-error", "format-error", "format-error", "unknown-site"])
        #expect(lines[1]["site"] == "p256.test" && lines[1]["name"] == "WWW.p256.test")
        #expect(lines[2]["detail"]?.contains("another server name") == true)
    }

    @Test("Many handshakes at once on one connection, answered in any order")
    func concurrent() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        var clients: [HandoffClient] = []
        var packets: [KeyPacket] = []
        for index in 0..<40 {
            let name: String = ["p256.test", "rsa.test", "ed.test"][index % 3]
            let client = try await HandoffClient(name)
            let begin = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: try await client.bytes())
            clients.append(client)
            packets.append(
                KeyPacket(
                    id: UInt32(index), body: TestEdge.message(.handshakeBegin, name, try begin.encoded())))
        }
        try edge.send(packets)
        let answers: [KeyPacket] = await edge.answers(40)
        #expect(Set(answers.map(\.id)).count == 40)
        var ids: Set<UInt64> = []
        for answer in answers {
            let progress = try HandshakeProgress(decoding: answer.body.payload)
            ids.insert(progress.handshake)
            let client: HandoffClient = clients[Int(answer.id)]
            let lent = try await LentSession.finish(client, progress)
            #expect(lent.tickets.readableBytes > 0)
            try await lent.exchange(client)
            await client.end()
        }
        #expect(ids == Set(1...40))
        #expect(try await holder.stop().count == 40)
    }

    @Test("Whether the mode is granted shows in the certificate's answer, and without it there is no handshake")
    func grants() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.grants = [
            try PolicyFixtures.grant("paris", "p256.test", operations: KeyProtocol.Operation.keyless),
            try PolicyFixtures.grant("rome", "p256.test", operations: KeyProtocol.Operation.handingOff),
        ]
        try holder.server.reload(configuration)
        let client = try await HandoffClient("p256.test")
        let hello: ByteBuffer = try await client.bytes()
        for (name, modes) in [("paris", Set([TrustMode.keyless])), ("rome", [.handoff])] {
            let edge = try await holder.edge(name)
            let answer = try #require(try await edge.ask(PolicyFixtures.certificateRequest("p256.test")))
            #expect(try CertificateAnswer(decoding: answer.payload).modes == modes)
            if name == "paris" {
                await #expect(throws: KeyErrorCode.keyNotFound) { try await edge.begin(hello) }
            } else {
                _ = try await edge.begin(hello)
                #expect(try await edge.ask(ServerTests.p256Sign)?.errorCode == .keyNotFound)
            }
            await edge.close()
        }
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok", "denied", "ok", "ok", "denied"])
    }
}
