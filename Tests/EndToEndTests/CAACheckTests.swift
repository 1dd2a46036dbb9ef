import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// What `check` says of CAA records, by a DNS server of the test's own.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CAACheckTests {
    private static func check(
        _ domains: String..., arguments: [String] = [],
        answer: @escaping @Sendable (String) -> TestDNSServer.Answer
    ) async throws -> (status: Int32, lines: [String], questions: [String]) {
        let workspace = try Workspace()
        try workspace.makeIdentity(.keyholder, "home")
        let issued = try workspace.sites.issueSite(domains: domains, keyType: .p256)
        try workspace.write(issued.chainPEM, to: "site.pem")
        try workspace.write(issued.keyPEM, to: "site.key")
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            identity: {certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem}
            sites:
              - {certificate: site.pem, key: site.key}
            grants: [{edge: paris, sites: ["\(domains[0])"], operations: [handoff]}]
            """, to: "keyholder.yaml")
        let server = try TestDNSServer(answer: answer)
        defer { server.stop() }
        return try await blocking {
            let process = try TestProcess(
                ["check", "--config", "keyholder.yaml", "--resolver", "127.0.0.1:\(server.port)"] + arguments,
                name: "check", in: workspace)
            let status = try process.waitForExit()
            let lines = process.text.split(separator: "\n").map(String.init).filter { $0.contains("CAA") }
            return (status, lines, server.questions)
        }
    }

    @Test("No record: a warning, with what to publish")
    func none() async throws {
        let result = try await Self.check("www.shop.example.com") { _ in .noData }
        #expect(result.status == 0)
        #expect(
            result.lines == [
                "warn  keyholder.yaml:5:5: domain www.shop.example.com: no CAA record, so whatever answers for the name, an edge "
                    + "too, can get a certificate for it, from any authority. Publish www.shop.example.com. CAA 0 issue "
                    + "\"AUTHORITY; accounturi=URI\", where AUTHORITY is the name that your authority gives for CAA, such as "
                    + "letsencrypt.org. URI is that of your ACME account with the authority (RFC 8657); "
                    + "validationmethods=dns-01 in its place also does."
            ])
        #expect(result.questions == ["www.shop.example.com", "shop.example.com", "example.com", "com"])
    }

    @Test("A record without a condition: a warning, with the record that has one")
    func unbound() async throws {
        let result = try await Self.check("www.shop.example.com", "*.shop.example.com") { name in
            name == "shop.example.com" ? .caa([(0, "issue", "ca.example.net")]) : .noName
        }
        #expect(result.status == 0)
        #expect(result.lines.count == 2)
        for (line, domain) in zip(result.lines, ["www.shop.example.com", "*.shop.example.com"]) {
            #expect(
                line.hasPrefix(
                    "warn  keyholder.yaml:5:5: domain \(domain): the CAA record of shop.example.com lets ca.example.net issue "
                        + "to any account, so whatever answers for the name, an edge too, can get a certificate for it. "
                        + "Publish shop.example.com. CAA 0 issue \"ca.example.net; accounturi=URI\" in its place."),
                "\(line)")
        }
        // Each name is asked for once.
        #expect(result.questions == ["www.shop.example.com", "shop.example.com"])
    }

    @Test("Bound to an account, or to DNS: fine")
    func bound() async throws {
        let result = try await Self.check("shop.example.com") { _ in
            .caa([
                (0, "issue", "ca.example.net; accounturi=https://ca.example.net/acct/7"),
                (0, "issue", "other.example.net; validationmethods=dns-01"), (0, "iodef", "mailto:a@example.com"),
            ])
        }
        #expect(result.status == 0)
        #expect(
            result.lines == [
                "ok    keyholder.yaml:5:5: domain shop.example.com: the CAA record of shop.example.com lets ca.example.net, "
                    + "other.example.net issue, bound to an account or to a check by DNS"
            ])
    }

    @Test("A critical property of an unknown kind, and a hostile text")
    func critical() async throws {
        let result = try await Self.check("shop.example.com") { _ in .caa([(128, "future", "\u{1B}[31m")]) }
        #expect(result.lines.first?.hasPrefix("warn  ") == true)
        #expect(result.lines.first?.contains("critical property \"future\"") == true)
    }

    @Test("DNS that cannot be reached is a warning, once the patience is used up for all names together")
    func unreachable() async throws {
        let result = try await Self.check(
            "a.example.com", "b.example.com", "c.example.com", "d.example.com"
        ) { _ in .silence }
        #expect(result.status == 0)
        #expect(result.lines.count == 3)
        #expect(
            result.lines.first?.hasPrefix(
                "warn  keyholder.yaml:5:5: domain a.example.com: the CAA record of a.example.com could not be looked up: "
                    + "no answer in time.") == true)
        #expect(
            result.lines.last?.hasPrefix("warn  the CAA records of c.example.com and 1 more were not looked up") == true
        )
    }

    @Test("Nothing is asked offline, nor for names that no public authority issues for")
    func notAsked() async throws {
        let offline = try await Self.check("shop.example.com", arguments: ["--offline"]) { _ in .noData }
        #expect(offline.lines.isEmpty && offline.questions.isEmpty)
        let reserved = try await Self.check("shop.test", "a.localhost", "b.internal") { _ in .noData }
        #expect(reserved.lines.isEmpty && reserved.questions.isEmpty)
    }

    @Test("A resolver that is no address is a mistake of the command line")
    func badResolver() async throws {
        try await blocking {
            for text in ["dns.example", "127.0.0.1:0", "127.0.0.1:x", "::1", ""] {
                let result = try Tool.run(
                    TestProcess.executable.path, ["check", "--config", "none.yaml", "--resolver", text])
                #expect(result.status == 2 || result.status == 64, "\(text): \(result.status)")
                #expect(result.all.contains("--resolver takes an IPv4 address"))
            }
        }
    }
}
