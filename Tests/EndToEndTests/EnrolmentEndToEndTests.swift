import Foundation
import PrivateAuthority
import TestSockets
import Testing

@testable import latchstring

/// Identities whose keys stay where they were made, and an authority that gives way to another one: the real program.
@Suite(.serialized, .timeLimit(.minutes(5))) struct EnrolmentEndToEndTests {
    private static let inForce = "the identity's files have changed: they are in force"

    @discardableResult
    private static func certs(_ workspace: Workspace, _ words: String...) throws -> Tool.Result {
        try Self.certs(workspace, words)
    }

    private static func certs(_ workspace: Workspace, _ words: [String]) throws -> Tool.Result {
        var words = words
        if let position = words.firstIndex(of: "--out") { words[position + 1] = workspace.path(words[position + 1]) }
        return try Tool.run(TestProcess.executable.path, ["certs"] + words)
    }

    /// Has an authority sign a party's request, and takes the certificate to the party.
    private static func enrol(
        _ option: String, _ name: String, at party: String, by authority: String, _ workspace: Workspace,
        force: Bool = false
    ) throws {
        let stem = "\(option.dropFirst(2))-\(name)"
        let answer = try Self.certs(
            workspace,
            ["--sign", workspace.path("\(party)/\(stem).csr"), option, name, "--out", authority]
                + (force ? ["--force"] : []))
        try #require(answer.status == 0, "\(answer.all)")
        try workspace.write(workspace.read("\(authority)/\(stem).pem"), to: "\(party)/\(stem).pem")
    }

    @Test(
        "Parties are enrolled by requests, and the fleet's authority is replaced under load: no key travels, no handshake fails"
    )
    func rollOver() async throws {
        let workspace = try Workspace()
        for site in ["one.test", "two.test", "origin.test"] { try workspace.makeSite(site) }
        let origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
            .init(body: "from the origin", cacheControl: "max-age=600")
        }
        try await blocking {
            for authority in ["old", "new"] { #expect(try Self.certs(workspace, "--out", authority).status == 0) }
            #expect(try Self.certs(workspace, "--csr", "--edge", "paris", "--out", "edge").status == 0)
            #expect(try Self.certs(workspace, "--csr", "--keyholder", "home", "--out", "holder").status == 0)
            func trust(_ authorities: String...) throws {
                let text = try authorities.map { try workspace.read("\($0)/authority.pem") }.joined()
                for party in ["edge", "holder"] { try workspace.write(text, to: "\(party)/authority.pem") }
            }
            func enrol(by authority: String) throws {
                try Self.enrol("--edge", "paris", at: "edge", by: authority, workspace)
                try Self.enrol("--keyholder", "home", at: "holder", by: authority, workspace)
            }
            try trust("old")
            try enrol(by: "old")
            let port = try Workspace.freePort()
            try workspace.write(
                """
                role: keyholder
                listen: 127.0.0.1:\(port)
                identity: { certificate: holder/keyholder-home.pem, key: holder/keyholder-home.key, authority: holder/authority.pem }
                sites:
                  - { certificate: one.test.pem, key: one.test.key }
                  - { certificate: two.test.pem, key: two.test.key }
                grants:
                  - { edge: paris, sites: [one.test, two.test], operations: [keyless, handoff], rate: 10000 }
                audit: audit.jsonl
                log: { level: debug, format: json }

                """, to: "home.yaml")
            let site =
                "origin: { url: \"https://127.0.0.1:\(origin.port)\", name: origin.test, roots: roots.pem }, cache: {}"
            try workspace.write(
                """
                role: edge
                listen: [127.0.0.1:0]
                identity: { certificate: edge/edge-paris.pem, key: edge/edge-paris.key, authority: edge/authority.pem }
                keyholders:
                  home: { addresses: ["127.0.0.1:\(port)"], deadline: 5s }
                limits: { exempt: [127.0.0.0/8] }
                cache: { memory: 16MiB }
                log: { level: debug, format: json }
                sites:
                  - { domains: [one.test], mode: keyless, keyholder: home, \(site) }
                  - { domains: [two.test], mode: handoff, keyholder: home, \(site) }

                """, to: "paris.yaml")
            let keyHolder = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
            _ = try keyHolder.listeningPort()
            let edge = try TestProcess(["edge", "--config", "paris.yaml"], name: "paris", in: workspace)
            let edgePort = try edge.listeningPort()
            for site in ["one.test", "two.test"] { try edge.wait(for: "lease begun") { $0["site"] == site } }
            let load = try ["one.test", "two.test"].map { try SteadyClients($0, port: edgePort, in: workspace) }
            func settle(_ count: Int) throws {
                for process in [keyHolder, edge] {
                    _ = try eventually("step \(count) being in force") {
                        process.lines(Self.inForce).count >= count ? true : nil
                    }
                }
            }
            // 1. Both authorities are trusted. 2. Identities by the new one, for the same keys. 3. The new one alone is.
            try trust("old", "new")
            try settle(1)
            try enrol(by: "new")
            try settle(2)
            try trust("new")
            try settle(3)
            Thread.sleep(forTimeInterval: 1)
            for clients in load {
                let counts = try clients.end().split(separator: "\n").last.map(String.init) ?? ""
                #expect(counts.contains("failed 0 "), "\(counts)")
            }
            // What the old authority signed is worth nothing any more.
            try Self.enrol("--edge", "paris", at: "edge", by: "old", workspace, force: true)
            let former = try TestProcess(["edge", "--config", "paris.yaml"], name: "former", in: workspace)
            try former.wait(for: "key holder is down")
            for authority in ["old", "new"] {
                let keys = try FileManager.default.contentsOfDirectory(atPath: workspace.path(authority)).filter {
                    $0.hasSuffix(".key")
                }
                #expect(keys == ["authority.key"])
            }
            for process in [former, edge, keyHolder] { process.stop() }
        }
        try await origin.stop()
    }

    @Test("An identity that ends within thirty days is a warning in the log and in health, at edge and key holder")
    func warnings() async throws {
        let workspace = try Workspace()
        for site in ["one.test", "origin.test"] { try workspace.makeSite(site) }
        for role in IdentityRole.allCases {
            let name = role == .edge ? "paris" : "home"
            let issued = try workspace.fleet.issueIdentity(
                role: role, name: name, notBefore: Date() - 100, notAfter: Date() + 12.5 * 86_400)
            try workspace.write(issued.chainPEM, to: "\(role.rawValue)-\(name).pem")
            try workspace.write(issued.keyPEM, to: "\(role.rawValue)-\(name).key")
        }
        try await blocking {
            let admin = try Workspace.freePort()
            let keyHolder = try RunningKeyHolder(
                sites: ["one.test"], grantedTo: "paris", extra: "admin: 127.0.0.1:\(admin)", in: workspace)
            let edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(keyHolder.port)"] }
                sites:
                  - domains: [one.test]
                    mode: keyless
                    keyholder: home
                    origin: { url: "https://127.0.0.1:1", name: origin.test, roots: roots.pem }
                """, in: workspace)
            for (process, port) in [(edge.process, edge.adminPort), (keyHolder.process, admin)] {
                let line = try process.wait(for: "the identity of this party ends")
                #expect(line["level"] == "warning" && line["reason"] == "this party's identity ends in 12 days")
                let health = try eventually("the health") {
                    let answer = try Tool.run("curl", ["-sS", "http://127.0.0.1:\(port)/health/ready"])
                    return answer.output.contains("identity") ? answer.output : nil
                }
                #expect(health.contains("ends in 12 days"), "\(health)")
            }
            // A new one is taken up by itself, and nothing is said any more.
            try workspace.makeIdentity(.edge, "paris")
            try edge.process.wait(for: Self.inForce)
            _ = try eventually("the health of the new one") {
                let answer = try Tool.run("curl", ["-sS", "http://127.0.0.1:\(edge.adminPort)/health/ready"])
                return answer.output.contains("ends in") ? nil : true
            }
            edge.stop()
            keyHolder.stop()
        }
    }

    // MARK: Pure

    @Test func anIdentityIsWarnedOfFromThirtyDaysBeforeItsEnd() {
        let day: Int64 = 86_400
        #expect(IdentityOutlook(end: nil, at: 0) == .fine)
        #expect(IdentityOutlook(end: 30 * day, at: 0) == .fine)
        #expect(IdentityOutlook(end: 30 * day - 1, at: 0) == .ends(days: 29))
        #expect(IdentityOutlook(end: day, at: day) == .ends(days: 0))
        #expect(IdentityOutlook(end: day, at: day + 1) == .over)
        #expect(IdentityOutlook.ends(days: 1).text == "this party's identity ends in 1 day")
    }

    @Test func theLogSaysSoOnceADayAndWhenItIsOver() {
        var warnings = IdentityWarnings()
        func isDue(_ outlook: IdentityOutlook, _ time: Int64) -> Bool { warnings.isDue(outlook, at: time) }
        #expect(!isDue(.fine, 0))
        #expect(isDue(.ends(days: 29), 10))
        #expect(!isDue(.ends(days: 29), 15))
        #expect(!isDue(.ends(days: 28), 86_409))
        #expect(isDue(.ends(days: 28), 86_410))
        #expect(isDue(.over, 86_411))
        #expect(!isDue(.over, 86_412))
        #expect(!isDue(.fine, 86_413))
        #expect(isDue(.ends(days: 3), 86_414))
    }

    @Test(
        "The command refuses what does not go together",
        arguments: [
            ["--csr"], ["--csr", "--edge", "paris", "--sign", "x"], ["--sign", "x"],
            ["--csr", "--edge", "a", "--site", "b.test"],
        ])
    func refused(words: [String]) throws {
        let answer = try Tool.run(TestProcess.executable.path, ["certs", "--out", "/nowhere"] + words)
        #expect(answer.status == 2, "\(answer.all)")
    }
}
