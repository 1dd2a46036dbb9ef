import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// Files with secrets that other users could read: no process starts with one, and a reload keeps what it has.
@Suite(.serialized, .timeLimit(.minutes(3))) struct SecretFilesEndToEndTests {
    private static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        try workspace.makeIdentity(.edge, "paris")
        try workspace.makeIdentity(.keyholder, "home")
        try workspace.makeSite("www.test")
        try workspace.write(String(repeating: "t", count: 32) + "\n", to: "admin.token")
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            identity: {certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem}
            sites: [{certificate: www.test.pem, key: www.test.key}]
            grants: [{edge: paris, sites: [www.test], operations: [handoff]}]
            audit: audit.jsonl
            """, to: "keyholder.yaml")
        try workspace.write(
            """
            role: edge
            listen: [127.0.0.1:0]
            identity: {certificate: edge-paris.pem, key: edge-paris.key, authority: authority.pem}
            keyholders: {home: {addresses: ["127.0.0.1:9"]}}
            sites: [{domains: [www.test], mode: relay, origin: {address: "127.0.0.1:9"}}]
            admin: {listen: 127.0.0.1:0, token: admin.token}
            """, to: "edge.yaml")
        return workspace
    }

    private static func chmod(_ mode: Int, _ name: String, _ workspace: Workspace) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: workspace.path(name))
    }

    @Test(
        "With a secret that other users can read, nothing starts, and `check` fails, each with the remedy",
        arguments: [
            ("keyholder", "www.test.key"), ("keyholder", "keyholder-home.key"), ("edge", "edge-paris.key"),
            ("edge", "admin.token"),
        ])
    func start(role: String, file: String) async throws {
        let workspace = try Self.workspace()
        try await blocking {
            try Self.chmod(0o644, file, workspace)
            let wanted =
                "error: other users can read the secret in \"\(file)\" (mode 0644). Run chmod 600 \(file)\n"
            let process = try TestProcess([role, "--config", "\(role).yaml"], name: role, in: workspace)
            #expect(try process.waitForExit() == 1)
            #expect(process.text.contains(wanted), "\(process.text)")
            let check = try TestProcess(
                ["check", "--offline", "--config", "\(role).yaml"], name: "check", in: workspace)
            #expect(try check.waitForExit() == 1)
            #expect(check.text.contains(wanted), "\(check.text)")

            try Self.chmod(0o600, file, workspace)
            let good = try TestProcess(
                ["check", "--offline", "--config", "\(role).yaml"], name: "check", in: workspace)
            #expect(try good.waitForExit() == 0, "\(good.text)")
        }
    }

    @Test("A reload with such a file is refused, and everything goes on as it was")
    func reload() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeSite("api.test")
        try await blocking {
            let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
            defer { keyHolder.stop() }
            try Self.chmod(0o644, "www.test.key", workspace)
            kill(keyHolder.process.pid, SIGHUP)
            let line = try keyHolder.process.wait(for: "not reloaded; everything stays as it was")
            #expect(line["reason"]?.contains("Run chmod 600 www.test.key") == true, "\(line.fields)")
            // It still listens and has its site: mended, the next reload finds the same.
            _ = try TestSocket.connect(port: keyHolder.port)
            try Self.chmod(0o600, "www.test.key", workspace)
            try keyHolder.reload(grantedTo: "paris")
            #expect(keyHolder.process.lines("reloaded").last?["sites"] == "1")
        }
    }

    @Test("`certs` does not use an authority's key that other users can read")
    func authorities() async throws {
        let workspace = try Workspace()
        try await blocking {
            let program = TestProcess.executable.path
            let folder = workspace.path("certs")
            #expect(try Tool.run(program, ["certs", "--out", folder, "--edge", "paris"]).status == 0)
            try Self.chmod(0o604, "certs/authority.key", workspace)
            let refused = try Tool.run(program, ["certs", "--out", folder, "--edge", "rome"])
            #expect(refused.status != 0)
            #expect(refused.all.contains("Run chmod 600 \(folder)/authority.key"), "\(refused.all)")
            try Self.chmod(0o600, "certs/authority.key", workspace)
            #expect(try Tool.run(program, ["certs", "--out", folder, "--edge", "rome"]).status == 0)
        }
    }

    @Test("`ticket-keys` makes a file for its owner alone, and changes no file that is none")
    func ticketKeys() async throws {
        let workspace = try Workspace()
        try await blocking {
            let program = TestProcess.executable.path
            let file = workspace.path("tickets.key")
            func keys(_ verb: String) throws -> (status: Int32, all: String) {
                let output = try Tool.run(program, ["ticket-keys", verb, file])
                return (output.status, output.all)
            }
            func secrets() throws -> [Substring: Substring] {
                let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").dropFirst()
                return Dictionary(
                    uniqueKeysWithValues: lines.map { ($0.split(separator: " ")[0], $0.split(separator: " ")[1]) })
            }
            #expect(try keys("rotate").status != 0)
            #expect(try keys("make").status == 0)
            let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            let made = try secrets()
            #expect(made.keys.sorted() == ["current", "next"])
            let again = try keys("make")
            #expect(again.status != 0 && again.all.contains("is there already"), "\(again.all)")
            #expect(try secrets() == made)
            #expect(try keys("rotate").status == 0)
            let rotated = try secrets()
            #expect(rotated["previous"] == made["current"] && rotated["current"] == made["next"])
            #expect(try keys("replace").status == 0)
            #expect(try Set(secrets().values).isDisjoint(with: rotated.values))
            try Self.chmod(0o644, "tickets.key", workspace)
            let refused = try keys("rotate")
            #expect(refused.status != 0 && refused.all.contains("Run chmod 600 \(file)"), "\(refused.all)")
        }
    }
}
