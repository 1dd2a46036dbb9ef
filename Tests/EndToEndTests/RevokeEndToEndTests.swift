import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// `latchstring revoke` with the real binaries.
@Suite("An edge that is revoked", .serialized, .timeLimit(.minutes(3)))
struct RevokeEndToEndTests {
    private static func configure(_ workspace: Workspace, _ admin: UInt16, port: UInt16, state: String) throws {
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:\(port)
            admin: 127.0.0.1:\(admin)
            identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
            sites:
              - { certificate: www.test.pem, key: www.test.key }
            grants:
              - { edge: paris, sites: [www.test], operations: [keyless] }
              - { edge: rome, sites: [www.test], operations: [keyless] }
            \(state)
            audit: audit.jsonl
            log: { level: debug, format: json }

            """, to: "home.yaml")
    }

    private static func edge(_ name: String, _ port: UInt16, _ origin: UInt16, _ workspace: Workspace) throws
        -> RunningEdge
    {
        try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(port)"] }
            sites:
              - domains: [www.test]
                mode: keyless
                keyholder: home
                origin: { url: "https://127.0.0.1:\(origin)", name: origin.test, roots: roots.pem }
            """, name: name, in: workspace)
    }

    private static func isServed(_ edge: RunningEdge, _ workspace: Workspace) throws -> Bool {
        try Tool.curl("https://www.test/", to: edge.port, workspace).status == 0
    }

    private static func revoke(_ workspace: Workspace, _ words: String...) throws -> Tool.Result {
        try Tool.run(TestProcess.executable.path, ["revoke", "--config", workspace.path("home.yaml")] + words)
    }

    @Test(
        "It serves no more at once, and neither after a reload and a restart of the key holder, until that is taken back"
    )
    func revoked() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeSite("origin.test")
        try workspace.makeIdentity(.keyholder, "home")
        let origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        try await blocking {
            let (admin, port) = (try Workspace.freePort(), try Workspace.freePort())
            try Self.configure(workspace, admin, port: port, state: "state: state")
            var keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
            _ = try keyHolder.listeningPort()
            let paris = try Self.edge("paris", port, origin.port, workspace)
            let rome = try Self.edge("rome", port, origin.port, workspace)
            for edge in [paris, rome] {
                _ = try eventually("the site being served") { try Self.isServed(edge, workspace) ? true : nil }
            }
            let answer = try Self.revoke(workspace, "paris")
            #expect(answer.status == 0 && answer.output == "Revoked: paris may do nothing.\n", "\(answer.all)")
            _ = try eventually("the end of the site at the edge") { try Self.isServed(paris, workspace) ? nil : true }
            #expect(try Self.isServed(rome, workspace))
            #expect(try Self.revoke(workspace, "paris").output == "paris was revoked before.\n")

            kill(keyHolder.pid, SIGHUP)
            _ = try keyHolder.wait(for: "reloaded")
            #expect(try !Self.isServed(paris, workspace))
            keyHolder.kill9()
            keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
            _ = try keyHolder.listeningPort()
            _ = try eventually("the other edge") { try Self.isServed(rome, workspace) ? true : nil }
            #expect(try !Self.isServed(paris, workspace))
            #expect(keyHolder.lines("an edge is revoked: its grants do not count").first?["edge"] == "paris")

            let undone = try Self.revoke(workspace, "paris", "--undo")
            #expect(undone.output == "paris has the grants of the configuration again.\n", "\(undone.all)")
            // The edge comes back by itself, and not at once: start another one in its name.
            paris.stop()
            let again = try Self.edge("paris", port, origin.port, workspace)
            _ = try eventually("the edge") { try Self.isServed(again, workspace) ? true : nil }
            let audit = try workspace.read("audit.jsonl").split(separator: "\n").compactMap { LogLine($0) }
            #expect(audit.filter { $0["operation"] == "revoke" }.count == 2)
            #expect(audit.contains { $0["operation"] == "restore" && $0["edge"] == "paris" })
            for edge in [again, rome] { edge.stop() }
            keyHolder.stop()
        }
        try await origin.stop()
    }

    @Test("Without a state folder it is refused with what to do, and a wrong name is none")
    func refused() async throws {
        try await blocking {
            let workspace = try Workspace()
            try workspace.makeSite("www.test")
            try workspace.makeIdentity(.keyholder, "home")
            try Self.configure(workspace, try Workspace.freePort(), port: 0, state: "")
            let keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
            _ = try keyHolder.listeningPort()
            let answer = try Self.revoke(workspace, "paris")
            #expect(answer.status == 1)
            #expect(answer.errors.contains("Remove the edge's grants from the key holder's file"), "\(answer.all)")
            #expect(try Self.revoke(workspace, "Not A Name").status == 2)
            keyHolder.stop()
        }
    }
}
