import Foundation
import PrivateAuthority
import TestSockets
import TestToken
import Testing

/// Sites whose keys are on a token, with the real binaries and ordinary clients.
@Suite(
    "A key holder with an HSM", .serialized, .enabled(if: SoftToken.isInstalled, "softhsm2 is not installed"),
    .timeLimit(.minutes(5)))
struct HSMEndToEndTests {
    private static let domains: [(name: String, type: SiteKeyType, mode: String)] = [
        ("ec-handoff.test", .p256, "handoff"), ("ec-keyless.test", .p256, "keyless"),
        ("rsa-handoff.test", .rsa2048, "handoff"), ("rsa-keyless.test", .rsa2048, "keyless"),
    ]

    /// A workspace whose sites' keys are on the token and nowhere else.
    private static func stage() throws -> (Workspace, SoftToken) {
        let workspace = try Workspace()
        let token = try SoftToken()
        try workspace.makeIdentity(.keyholder, "home")
        for (index, site) in Self.domains.enumerated() {
            try workspace.makeSite(site.name, keyType: site.type)
            try token.take(try workspace.read("\(site.name).key"), as: site.name, id: "0\(index)")
            try FileManager.default.removeItem(atPath: workspace.path("\(site.name).key"))
        }
        let sites = Self.domains.map {
            "  - { certificate: \($0.name).pem, key: \"pkcs11:token=site%20keys;object=\($0.name)\" }"
        }
        let names = Self.domains.map(\.name).joined(separator: ", ")
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
            hsm: { module: \(SoftToken.modulePath), pin-file: \(token.path("pin")), timeout: 10s }
            sites:
            \(sites.joined(separator: "\n"))
            grants:
              - { edge: paris, sites: [\(names)], operations: [handoff, keyless] }
            audit: audit.jsonl
            log: { level: debug, format: json }

            """, to: "home.yaml")
        return (workspace, token)
    }

    private static func keyHolder(_ workspace: Workspace, _ token: SoftToken) throws -> TestProcess {
        try TestProcess(
            [token.environment, TestProcess.executable.path, "keyholder", "--config", "home.yaml"], name: "home",
            program: "/usr/bin/env", in: workspace)
    }

    /// Ended, if not waited for by the process that inherited it.
    private static func hasEnded(_ process: pid_t) -> Bool {
        guard kill(process, 0) == 0, let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else {
            return true
        }
        return String(decoding: data, as: UTF8.self).split(separator: ")").last?.hasPrefix(" Z") ?? true
    }

    @Test("Sites are served in both modes, with both kinds of keys, also after their workers were killed")
    func serves() async throws {
        let (workspace, token) = try await blocking { try Self.stage() }
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        try await blocking {
            let keyHolder = try Self.keyHolder(workspace, token)
            let port = try keyHolder.listeningPort()
            let entries = Self.domains.map { site in
                """
                  - domains: [\(site.name)]
                    mode: \(site.mode)
                    keyholder: home
                    origin: { url: "https://127.0.0.1:\(origin.port)", name: origin.test, roots: roots.pem }
                """
            }
            let edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(port)"], deadline: 5s }
                sites:
                \(entries.joined(separator: "\n"))
                """, in: workspace)
            for site in Self.domains {
                _ = try eventually("\(site.name) being served") {
                    try Tool.curl("https://\(site.name)/", to: edge.port, workspace).status == 0 ? true : nil
                }
                let old = try Tool.curl("https://\(site.name)/", to: edge.port, workspace, "--tls-max", "1.2")
                #expect(old.output == "from the origin", "\(site.name): \(old.errors)")
            }
            #expect(try workspace.read("audit.jsonl").contains(#""operation":"hsm-login","outcome":"ok""#))
            let workers = keyHolder.lines("a worker of the HSM is ready").compactMap { $0["pid"].flatMap { pid_t($0) } }
            #expect(!workers.isEmpty)
            for worker in workers { kill(worker, SIGKILL) }
            for site in Self.domains {
                let result = try Tool.curl("https://\(site.name)/", to: edge.port, workspace)
                #expect(result.output == "from the origin", "\(site.name): \(result.errors)")
            }
            let before = keyHolder.lines("reloaded").count
            kill(keyHolder.pid, SIGHUP)
            _ = try eventually("the reload") { keyHolder.lines("reloaded").count > before ? true : nil }
            let after = try Tool.curl("https://rsa-keyless.test/", to: edge.port, workspace)
            #expect(after.output == "from the origin", "\(after.errors)")
            // Its workers end with it, also without a goodbye.
            let last = keyHolder.lines("a worker of the HSM is ready").compactMap { $0["pid"].flatMap { pid_t($0) } }
            keyHolder.kill9()
            _ = try eventually("the end of the workers") { last.allSatisfy(Self.hasEnded) ? true : nil }
            edge.stop()
        }
        try await origin.stop()
    }

    @Test("check has each key sign, and says what is wrong with a token")
    func check() async throws {
        try await blocking {
            let (workspace, token) = try Self.stage()
            func check(_ words: String...) throws -> Tool.Result {
                try Tool.run(
                    "/usr/bin/env",
                    [token.environment, TestProcess.executable.path, "check", "--config", workspace.path("home.yaml")]
                        + words)
            }
            let offline = try check("--offline")
            #expect(offline.status == 0, "\(offline.all)")
            #expect(offline.output.contains("was not asked for (--offline)"))
            let good = try check("--resolver", "127.0.0.1:9")
            #expect(good.output.components(separatedBy: "which signed").count == 5, "\(good.all)")
            try token.write("9999\n", to: "pin")
            let bad = try check("--resolver", "127.0.0.1:9")
            #expect(bad.status == 1)
            #expect(bad.output.contains("CKR_PIN_INCORRECT"), "\(bad.all)")
            // Of four sites one had it tried.
            #expect(bad.output.components(separatedBy: "refused this PIN before").count == 4, "\(bad.all)")
        }
    }

    @Test("A worker that is started by itself says that it is none of a person's, and ends")
    func alone() async throws {
        try await blocking {
            let result = try Tool.run(TestProcess.executable.path, ["hsm-worker"])
            #expect(result.status == 1)
            let help = try Tool.run(TestProcess.executable.path, ["--help"])
            #expect(help.output.contains("keyholder") && !help.output.contains("hsm-worker"))
        }
    }
}
