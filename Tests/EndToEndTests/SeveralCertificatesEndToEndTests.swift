import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// A site with an ECDSA and an RSA certificate, and the ECDSA one before: real binaries, ordinary clients.
@Suite(.serialized, .timeLimit(.minutes(3))) struct SeveralCertificatesEndToEndTests {
    /// What a client was shown, and whether it got an answer.
    private struct Seen: Equatable {
        var key: String
        var answered: Bool
    }

    @Test("Each client is shown the first certificate that it can verify", arguments: ["keyless", "handoff"])
    func chosen(mode: String) async throws {
        let workspace = try Workspace()
        try workspace.makeSite("one.test")
        for (name, type) in [("rsa", SiteKeyType.rsa2048), ("before", .p256)] {
            let issued = try workspace.sites.issueSite(domains: ["one.test"], keyType: type)
            try workspace.write(issued.chainPEM, to: "\(name).pem")
            try workspace.write(issued.keyPEM, to: "\(name).key")
        }
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in .init(body: "from the origin") }
        let keyHolder = try RunningKeyHolder(
            sites: ["one.test+rsa+before"], grantedTo: "paris", operations: mode, in: workspace)
        let edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(keyHolder.port)"], deadline: 2s }
            sites:
              - domains: [one.test]
                mode: \(mode)
                keyholder: home
                origin: { url: "https://127.0.0.1:\(origin.port)", name: origin.test, roots: roots.pem }
            """, in: workspace)
        try edge.process.wait(for: "lease begun")
        func seen(_ arguments: String...) throws -> Seen {
            let result = try Tool.run(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(edge.port)", "-CAfile", workspace.path("roots.pem"),
                    "-verify_return_error", "-servername", "one.test", "-ign_eof",
                ] + arguments, input: "GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
            let key = result.output.split(separator: "\n").first { $0.contains("Peer signature type") }
            return Seen(
                key: key?.split(separator: " ").last.map(String.init) ?? "none",
                answered: result.output.contains("from the origin"))
        }
        let elliptic = Seen(key: "ECDSA", answered: true)
        #expect(try seen("-tls1_3") == elliptic)
        #expect(try seen("-tls1_2") == elliptic)
        #expect(try seen("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256") == Seen(key: "RSA-PSS", answered: true))
        #expect(
            try seen("-tls1_3", "-sigalgs", "RSA-PSS+SHA384:ECDSA+SHA256") == elliptic, "the site's order counts")
        #expect(
            try seen("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256").answered,
            "a client of TLS 1.2 that knows no ECDSA suites")
        #expect(try seen("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256") == elliptic)
        #expect(try !seen("-tls1_3", "-sigalgs", "ecdsa_secp384r1_sha384").answered, "none that it can verify")
        // curl, as it is.
        let curl = try Tool.curl("https://one.test/", to: edge.port, workspace)
        #expect(curl.output.contains("from the origin"))
        // The audit says whose key it was.
        let keys = Set(keyHolder.audit.filter { $0["outcome"] == "ok" }.compactMap { $0["certificate"] })
        #expect(keys.count == 2, "\(keys)")
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }
}
