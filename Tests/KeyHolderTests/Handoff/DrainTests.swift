import Channels
import Foundation
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import TLSWire
import Testing

@testable import KeyHolder

/// What becomes of handshakes when a key holder ends, or leaves its work to another process.
@Suite("The end of a key holder's connections", .timeLimit(.minutes(1)))
struct DrainTests {
    private static func hello(_ client: HandoffClient) async throws -> KeyMessage {
        KeyMessage(
            opcode: .custom,
            payload: try HandshakeBegin(applicationProtocols: ["h2"], clientBytes: try await client.bytes()).encoded(),
            function: KeyFunction.handshakeBegin.rawValue, serverName: "p256.test")
    }

    @Test("A handshake that was begun goes on, a begin gets no answer, and the connection ends with the handshake")
    func begun() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient("p256.test") { $0.maximumTLSVersion = .tlsv12 }
        let progress = try await edge.begin(try await client.bytes())
        #expect(progress.state == .needsMore)
        try await client.take(progress.serverBytes)

        async let lines = holder.stop()
        // The edge hears nothing of it, so this may come before or after.
        try await Task.sleep(for: .milliseconds(100))
        let other = try await HandoffClient("p256.test")
        try edge.send([KeyPacket(id: 5, body: try await Self.hello(other))])
        let end = try await edge.proceed(progress.handshake, try await client.bytes())
        guard case .exported = end.state else {
            Issue.record("\(end.state)")
            return
        }
        #expect(await edge.next() == nil)
        await client.end()
        await other.end()
        let audited = try await lines
        #expect(audited.map { $0["outcome"] } == ["ok"])
    }

    @Test("A client that does not answer holds a key holder's end up for a second")
    func silent() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient("p256.test") { $0.maximumTLSVersion = .tlsv12 }
        _ = try await edge.begin(try await client.bytes())
        let start = ContinuousClock.now
        let lines = try await holder.stop()
        let time = ContinuousClock.now - start
        #expect(time > .milliseconds(900) && time < .seconds(4), "\(time)")
        #expect(lines.map { $0["outcome"] } == ["abandoned"])
        await client.end()
    }

    @Test("What is handed over and kept after all: no key is used while another process has the audit file")
    func kept() async throws {
        let holder = try await TestHolder()
        @Sendable func sign() async throws -> Opcode? {
            let edge = try await holder.edge("paris")
            let request = SignTLS13Request(
                scheme: .ecdsaP256SHA256, transcriptHash: [UInt8](repeating: 7, count: 32))
            return try await edge.ask(
                KeyMessage(
                    opcode: .custom, payload: request.encoded(), function: KeyFunction.signTLS13.rawValue,
                    serverName: "p256.test"))?.opcode
        }
        #expect(try await sign() == .success)
        let passed = try await holder.server.beginHandOver()
        #expect(passed.count == 1 && passed[0].name == "127.0.0.1:0")
        for listener in passed { close(listener.descriptor) }
        await #expect(throws: KeyHolderError.handingOver) { try await holder.server.beginHandOver() }
        #expect(throws: KeyHolderError.handingOver) { try holder.server.reload(holder.configuration) }
        // It serves as ever.
        #expect(try await sign() == .success)

        try await holder.server.letGo()
        #expect(!holder.server.canAudit)
        // Another process writes, and this one neither writes nor opens it again.
        let before = try AuditTests.lines(holder.auditPath)
        #expect(before.count { $0.contains(#""operation":"sign-tls13""#) } == 2)
        try holder.server.reopenAudit()
        try "{}\n".write(toFile: holder.auditPath, atomically: true, encoding: .utf8)
        // A connection waits in the queue.
        async let waiting = sign()
        try await Task.sleep(for: .milliseconds(1200))
        #expect(try AuditTests.lines(holder.auditPath).count == 1)

        await holder.server.keep(hasLetGo: true)
        let answer = try await waiting
        #expect(answer == .success)
        #expect(try await sign() == .success)
        #expect(throws: Never.self) { try holder.server.reload(holder.configuration) }
        let lines = try await holder.stop()
        #expect(lines.compactMap { $0["outcome"] } == ["ok", "ok"], "\(lines)")
    }
}
