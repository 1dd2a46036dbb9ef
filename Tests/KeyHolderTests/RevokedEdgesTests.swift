import Foundation
import KeyProtocol
import PeerLink
import PrivateAuthority
import SecretFiles
import Testing

@testable import KeyHolder

@Suite("Edges that are revoked", .timeLimit(.minutes(2)))
struct RevokedEdgesTests {
    private static func path() -> String {
        FileManager.default.temporaryDirectory.appending(path: "latchstring-revoked-\(UUID().uuidString)").path
    }

    @Test("What is revoked is on disk, and taken back from there")
    func file() throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let edges = try RevokedEdges(path: path)
        #expect(edges.names.isEmpty)
        #expect(try edges.revoke("paris"))
        #expect(try edges.revoke("rome"))
        #expect(try !edges.revoke("paris"))
        #expect(try RevokedEdges(path: path).names == ["paris", "rome"])
        #expect(try edges.restore("paris"))
        #expect(try !edges.restore("paris"))
        #expect(try RevokedEdges(path: path).names == ["rome"])
    }

    @Test(
        "A list that cannot be read lets no edge in: it is an error",
        arguments: ["paris\nNot A Name\n", "paris rome\n"])
    func broken(_ text: String) throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        try SecretFile.write(text, to: path)
        #expect(throws: RevokedEdges.Unusable.self) { try RevokedEdges(path: path) }
        try SecretFile.write("paris\n", to: path)
        try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: path)
        #expect(throws: RevokedEdges.Unusable.self) { try RevokedEdges(path: path) }
    }

    @Test("What cannot be written is not believed to be")
    func unwritable() throws {
        let edges = try RevokedEdges(path: "/nonexistent/revoked")
        #expect(throws: RevokedEdges.Unusable.self) { try edges.revoke("paris") }
        #expect(edges.names.isEmpty)
    }

    @Test("A revoked edge is cut off at once and stays out after reloads; others are served; it can be taken back")
    func server() async throws {
        let holder = try await TestHolder()
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        #expect(await paris.ping())
        #expect(await rome.ping())
        try holder.server.revoke("paris")
        #expect(await paris.next() == nil)
        #expect(try await rome.ask(ServerTests.p256Sign)?.opcode == .success)
        let credentials = try TestHolder.credentials(holder.authority, .edge, "paris")
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        // The configuration still has its grants.
        try holder.server.reload(holder.configuration)
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        try holder.server.restore("paris")
        let back = try await holder.edge("paris")
        #expect(try await back.ask(ServerTests.p256Sign)?.opcode == .success)
        let lines = try await holder.stop()
        #expect(lines.filter { $0["operation"] == "revoke" }.map { $0["edge"] } == ["paris"])
        #expect(lines.filter { $0["operation"] == "restore" }.map { $0["edge"] } == ["paris"])
    }

    @Test("An edge that was revoked before the start has no grants, and a renewed certificate does not bring them back")
    func atStart() async throws {
        let holder = try await TestHolder(revoked: ["paris"])
        let credentials = try TestHolder.credentials(holder.authority, .edge, "paris")
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        try holder.server.replace(holder.configuration.sites[0])
        #expect(try await ServerTests.isServed(credentials, holder) == false)
        let rome = try await holder.edge("rome")
        #expect(try await rome.ask(ServerTests.p256Sign)?.opcode == .success)
        _ = try await holder.stop()
    }
}
