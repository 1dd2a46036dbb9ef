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
}
