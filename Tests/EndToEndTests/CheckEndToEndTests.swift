import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// `latchstring check` against a real key holder and a real origin.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CheckEndToEndTests {
    private static func startKeyHolder(grantedTo edge: String, in workspace: Workspace) throws -> TestProcess {
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            identity: {certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem}
            sites:
              - {certificate: www.example.test.pem, key: www.example.test.key}
              - {certificate: api.example.test.pem, key: api.example.test.key}
            grants:
              - {edge: \(edge), sites: [www.example.test], operations: [keyless]}
            audit: audit.jsonl
            log: {format: json}
            """, to: "keyholder.yaml")
        return try TestProcess(["keyholder", "--config", "keyholder.yaml"], name: "keyholder", in: workspace)
    }

    private static func check(
        _ workspace: Workspace, keyHolder: UInt16, origin: UInt16, domain: String = "www.example.test",
        originName: String = "origin.example.test"
    ) throws -> (status: Int32, lines: [String]) {
        try workspace.write(
            """
            role: edge
            listen: [127.0.0.1:0]
            identity: {certificate: edge-paris.pem, key: edge-paris.key, authority: authority.pem}
            keyholders:
              home: {addresses: ["127.0.0.1:\(keyHolder)"]}
            sites:
              - domains: [\(domain)]
                mode: keyless
                keyholder: home
                origin: {url: "https://127.0.0.1:\(origin)", name: \(originName), roots: roots.pem}
              - domains: [relay.example.test]
                mode: relay
                origin: {address: "127.0.0.1:\(origin)"}
            """, to: "edge.yaml")
        let result = try Tool.run(
            TestProcess.executable.path, ["check", "--config", workspace.path("edge.yaml")])
        let prefix = workspace.path("edge.yaml") + ":"
        let lines = result.output.split(separator: "\n").map { String($0.replacing(prefix, with: "")) }
        return (result.status, lines)
    }

    private static func makeWorkspace() throws -> Workspace {
        let workspace = try Workspace()
        try workspace.makeIdentity(.edge, "paris")
        try workspace.makeIdentity(.keyholder, "home")
        try workspace.makeSite("www.example.test", keyType: .rsa2048)
        try workspace.makeSite("api.example.test")
        try workspace.makeSite("origin.example.test")
        return workspace
    }

    @Test func everythingInOrder() async throws {
        let workspace = try Self.makeWorkspace()
        let origin = try await TLSOrigin(domain: "origin.example.test", text: "hello\n", in: workspace)
        try await blocking {
            let keyHolder = try Self.startKeyHolder(grantedTo: "paris", in: workspace)
            defer { keyHolder.stop() }
            let port = try keyHolder.listeningPort()
            let good = try Self.check(workspace, keyHolder: port, origin: origin.port)
            #expect(good.status == 0, "\(good.lines)")
            #expect(good.lines.last == "Nothing is wrong: 5 ok, 0 warnings, 0 problems.")
            #expect(good.lines.contains { $0.hasPrefix("ok    7:5: site www.example.test: chain of 1, ") })

            // A name that the origin's certificate does not have.
            let name = try Self.check(workspace, keyHolder: port, origin: origin.port, originName: "other.example.test")
            #expect(name.status == 1)
            #expect(
                name.lines.contains { $0.hasPrefix("FAIL  7:5: site www.example.test: the origin https://127.0.0.1") })

            // A site that the key holder has and this edge is not granted, and one that it has not: it cannot tell which.
            for domain in ["api.example.test", "none.example.test"] {
                let refused = try Self.check(workspace, keyHolder: port, origin: origin.port, domain: domain)
                #expect(refused.status == 1)
                #expect(
                    refused.lines.contains {
                        $0.hasPrefix(
                            "FAIL  7:5: site \(domain) at key holder home, 127.0.0.1:\(port): "
                                + "the key holder refuses its certificate: key-not-found. It needs ")
                    }, "\(refused.lines)")
            }
        }
        try await origin.stop()
    }

    @Test func unreachableKeyHolders() async throws {
        let workspace = try Self.makeWorkspace()
        let origin = try await TLSOrigin(domain: "origin.example.test", text: "hello\n", in: workspace)
        try await blocking {
            let down = try Self.check(workspace, keyHolder: try Workspace.freePort(), origin: origin.port)
            #expect(down.status == 1)
            #expect(down.lines.contains { $0.hasPrefix("FAIL  5:3: key holder home at 127.0.0.1:") }, "\(down.lines)")
            // What follows from it is not said as another fault.
            #expect(down.lines.count { $0.hasPrefix("FAIL") } == 1, "\(down.lines)")

            let stranger = try Self.startKeyHolder(grantedTo: "rome", in: workspace)
            let port = try stranger.listeningPort()
            let noGrant = try Self.check(workspace, keyHolder: port, origin: origin.port)
            stranger.stop()
            #expect(noGrant.status == 1)
            #expect(
                noGrant.lines.contains { $0.hasPrefix("FAIL  5:3: key holder home at 127.0.0.1:") }, "\(noGrant.lines)")

            // The right name, signed by another authority.
            try workspace.makeIdentity(.edge, "paris", by: try FleetAuthority(name: "another fleet"))
            let foreign = try Self.check(workspace, keyHolder: port, origin: origin.port)
            #expect(foreign.status == 1)
            #expect(foreign.lines.contains { $0.hasPrefix("FAIL  3:11: the identity of edge paris was not signed") })
        }
        try await origin.stop()
    }

    @Test func exitStatus() async throws {
        let workspace = try Self.makeWorkspace()
        try await blocking {
            try workspace.write("role: edge\nlisten: [127.0.0.1:0]\nsties: []\n", to: "bad.yaml")
            let program = TestProcess.executable.path
            let bad = try Tool.run(program, ["check", "--config", workspace.path("bad.yaml")])
            #expect(bad.status == 1)
            #expect(
                bad.output.contains(
                    "bad.yaml:3:1: error: unknown key \"sties\" in an edge's file. Did you mean \"sites\"?\n    sties: []\n    ^\n"
                ))
            #expect(try Tool.run(program, ["check"]).status == 2)
            #expect(try Tool.run(program, ["no-such-command"]).status == 2)
            #expect(try Tool.run(program, ["check", "--help"]).status == 0)
        }
    }
}
