import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// Names that a granted certificate covers and another site owns: said at start, at each reload, and by `check`.
@Suite(.serialized, .timeLimit(.minutes(3))) struct ImpersonationEndToEndTests {
    private static let message =
        "an edge could pose as a site that it was not granted: a certificate that it was granted covers the name"

    private static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        try workspace.makeIdentity(.keyholder, "home")
        try workspace.makeIdentity(.edge, "paris")
        try workspace.makeSite("bank.wild.test")
        try workspace.makeSite("relay.wild.test")
        let wild = try workspace.sites.issueSite(domains: ["*.wild.test"], keyType: .p256)
        try workspace.write(wild.chainPEM, to: "wild.pem")
        try workspace.write(wild.keyPEM, to: "wild.key")
        return workspace
    }

    private static func configure(_ workspace: Workspace, grants: String) throws {
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            identity: {certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem}
            sites:
              - {certificate: wild.pem, key: wild.key}
              - {certificate: bank.wild.test.pem, key: bank.wild.test.key}
            grants:
            \(grants)
            audit: audit.jsonl
            log: {format: json}
            """, to: "keyholder.yaml")
    }

    private static let open = "  - {edge: paris, sites: [\"*.wild.test\"], operations: [handoff]}"
    private static let closed = "  - {edge: paris, sites: [\"*.wild.test\", bank.wild.test], operations: [handoff]}"

    @Test("At start and at each reload, with the edge, the name and both sites")
    func startAndReload() async throws {
        let workspace = try Self.workspace()
        try await blocking {
            try Self.configure(workspace, grants: Self.open)
            let keyHolder = try TestProcess(["keyholder", "--config", "keyholder.yaml"], name: "home", in: workspace)
            defer { keyHolder.stop() }
            _ = try keyHolder.listeningPort()
            let first = try #require(keyHolder.lines(Self.message).first)
            #expect(
                first["edge"] == "paris" && first["granted"] == "*.wild.test" && first["covered-by"] == "*.wild.test")
            #expect(first["name"] == "bank.wild.test" && first["site"] == "bank.wild.test")
            #expect(first["level"] == "warning")

            for (grants, expected) in [(Self.closed, 1), (Self.open, 2)] {
                try Self.configure(workspace, grants: grants)
                let before = keyHolder.lines("reloaded").count
                kill(keyHolder.pid, SIGHUP)
                _ = try eventually("the reload") { keyHolder.lines("reloaded").count > before ? true : nil }
                #expect(keyHolder.lines(Self.message).count == expected)
            }
        }
    }

    @Test("By `check` of the key holder's file, at the grant, with what to do")
    func keyHoldersCheck() async throws {
        let workspace = try Self.workspace()
        try await blocking {
            try Self.configure(workspace, grants: Self.open)
            let check = try TestProcess(
                ["check", "--offline", "--config", "keyholder.yaml"], name: "check", in: workspace)
            #expect(try check.waitForExit() == 0)
            #expect(
                check.text.contains(
                    "warn  keyholder.yaml:8:5: edge paris could pose as bank.wild.test of the site bank.wild.test: the "
                        + "certificate of *.wild.test, which it was granted, is good for that name, which *.wild.test covers. "
                        + "Give the two sites certificates"), "\(check.text)")
        }
    }

    @Test("By `check` of the edge's file, for a site that is relayed so that the edge sees nothing of it")
    func edgesCheck() async throws {
        let workspace = try Self.workspace()
        let origin = try await TLSOrigin(domain: "relay.wild.test", text: "x", in: workspace)
        try await blocking {
            try Self.configure(workspace, grants: Self.closed)
            let keyHolder = try TestProcess(["keyholder", "--config", "keyholder.yaml"], name: "home", in: workspace)
            defer { keyHolder.stop() }
            try workspace.write(
                """
                role: edge
                listen: [127.0.0.1:0]
                identity: {certificate: edge-paris.pem, key: edge-paris.key, authority: authority.pem}
                keyholders: {home: {addresses: ["127.0.0.1:\(try keyHolder.listeningPort())"]}}
                sites:
                  - domains: ["*.wild.test"]
                    mode: handoff
                    keyholder: home
                    origin: {url: "https://127.0.0.1:\(origin.port)", name: relay.wild.test, roots: roots.pem}
                  - domains: [relay.wild.test]
                    mode: relay
                    origin: {address: "127.0.0.1:\(origin.port)"}
                """, to: "edge.yaml")
            let check = try TestProcess(["check", "--config", "edge.yaml"], name: "check", in: workspace)
            #expect(try check.waitForExit() == 0, "\(check.text)")
            #expect(
                check.text.contains(
                    "warn  edge.yaml:10:5: edge paris could pose as relay.wild.test of the site relay.wild.test"),
                "\(check.text)")
        }
        try await origin.stop()
    }
}
