import Foundation
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import PeerLink
import PrivateAuthority
import Telemetry
import Testing

@testable import KeyHolder

@Suite("A key holder's start, reloads and end", .timeLimit(.minutes(2)))
struct ServerReloadTests {
    @Test("A reload that drops an edge cuts it off at once, even with an operation under way")
    func reloadCutsOff() async throws {
        let store = HeldKeyStore()
        let holder = try await TestHolder(keyStore: store)
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        #expect(await rome.ping())
        try paris.send([KeyPacket(id: 1, body: ServerTests.rsaSign)])
        await store.gate.arrived(1)
        var configuration = holder.configuration
        configuration.grants = try TestHolder.grants(["rome"])
        try holder.server.reload(configuration)
        #expect(await paris.next() == nil)
        store.gate.open()
        #expect(await rome.ping())
        #expect(try await rome.ask(ServerTests.rsaSign)?.opcode == .success)
        #expect(
            try await ServerTests.isServed(try TestHolder.credentials(holder.authority, .edge, "paris"), holder)
                == false)
        let lines = try await holder.stop()
        #expect(
            lines.filter { $0["edge"] == "paris" }.map { $0["outcome"] }.sorted { ($0 ?? "") < ($1 ?? "") }
                == ["cut-off", "denied", "refused"])
    }

    @Test("A reload that withdraws a site withholds the result of an operation under way")
    func reloadWithdrawsSite() async throws {
        let store = HeldKeyStore()
        let holder = try await TestHolder(keyStore: store)
        let paris = try await holder.edge("paris")
        try paris.send([KeyPacket(id: 1, body: ServerTests.rsaSign)])
        await store.gate.arrived(1)
        var configuration = holder.configuration
        configuration.grants = [try PolicyFixtures.grant("paris", "p256.test")]
        try holder.server.reload(configuration)
        store.gate.open()
        #expect(await paris.next() == .packet(.failure(id: 1, .keyNotFound)))
        #expect(try await paris.ask(ServerTests.p256Sign)?.opcode == .success)
        _ = try await holder.stop()
    }

    @Test("A reload that fails changes nothing")
    func failedReload() async throws {
        let holder = try await TestHolder()
        let edge = try await holder.edge("paris")
        var configuration = holder.configuration
        configuration.sites[0].certificates[0].key = .text(try TestHolder.rsa.get().keyPEM, name: "other.key")
        #expect(throws: SiteLoadError.keyMismatch(certificate: "chain.pem", key: "other.key")) {
            try holder.server.reload(configuration)
        }
        #expect(try await edge.ask(ServerTests.p256Sign)?.opcode == .success)
        _ = try await holder.stop()
    }

    @Test("Stopping finishes what is under way, and another key holder can take the port")
    func restart() async throws {
        let store = HeldKeyStore()
        let holder = try await TestHolder(keyStore: store)
        let edge = try await holder.edge("paris")
        try edge.send([KeyPacket(id: 1, body: ServerTests.rsaSign)])
        await store.gate.arrived(1)
        async let stopped: [[String: String]] = holder.stop()
        store.gate.open()
        #expect(await edge.answers(1).first?.body.opcode == .success)
        #expect(await edge.next() == nil)
        let lines = try await stopped
        #expect(lines.map { $0["outcome"] } == ["ok"])
        var configuration = holder.configuration
        configuration.listen = [PeerAddress(host: "127.0.0.1", port: try #require(holder.address.port))]
        let again = try KeyHolderServer(
            configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, logger: .init(label: "test"))
        let address = try await again.start()[0]
        let back = try await TestEdge(TestHolder.credentials(holder.authority, .edge, "paris"), address)
        #expect(try await back.ask(ServerTests.p256Sign)?.opcode == .success)
        await again.stop()
        #expect(await back.next() == nil)
        try? FileManager.default.removeItem(atPath: holder.auditPath)
    }

    @Test("A key holder needs a key holder's identity and an address")
    func startErrors() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.credentials = try TestHolder.credentials(holder.authority, .edge, "paris")
        #expect(throws: KeyHolderError.self) {
            try KeyHolderServer(
                configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, logger: .init(label: "test")
            )
        }
        configuration = holder.configuration
        configuration.listen = [PeerAddress(host: "127.0.0.1", port: try #require(holder.address.port))]
        // Two key holders do not write into one file.
        #expect(throws: AuditLogError.self) {
            try KeyHolderServer(
                configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, logger: .init(label: "test")
            )
        }
        let own = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: own) }
        configuration.audit = AuditConfiguration(.file(own))
        let second = try KeyHolderServer(
            configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, logger: .init(label: "test"))
        await #expect(throws: KeyHolderError.self) { try await second.start() }
        _ = try await holder.stop()
    }
}
