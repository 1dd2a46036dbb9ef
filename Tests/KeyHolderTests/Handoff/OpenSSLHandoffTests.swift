import Foundation
import KeyProtocol
import Synchronization
import TLSWire
import Testing

@testable import KeyHolder

/// Another TLS library at the client's end: every suite and group, and tickets from one edge used at another.
@Suite("Handoff: openssl's client", .timeLimit(.minutes(3)))
struct OpenSSLHandoffTests {
    static let served = "served through an edge"

    private static func client(
        _ arguments: String, name: String = "p256.test", _ holder: TestHolder, edge: String = "paris"
    ) async throws -> String {
        let edge = try await holder.edge(edge)
        let output: String = try await EdgeStandIn.client(arguments, through: edge, name: name)
        await edge.close()
        return output
    }

    @Test("TLS 1.3: each suite, each group that goes with a HelloRetryRequest or without, each kind of key")
    func tls13() async throws {
        let holder = try await TestHolder()
        for name in ["p256.test", "rsa.test", "ed.test"] {
            for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
                // X448 is what the server does not have: it asks for the other group.
                for groups in ["X25519", "P-256", "P-384", "X448:P-256"] {
                    let output: String = try await Self.client(
                        "-tls1_3 -ciphersuites \(suite) -groups \(groups) -alpn http/1.1", name: name, holder)
                    #expect(output.contains(Self.served), "\(name) \(suite) \(groups)")
                    #expect(output.contains("New, TLSv1.3, Cipher is \(suite)"))
                    #expect(output.contains("ALPN protocol: http/1.1"))
                }
            }
        }
        let lines = try await holder.stop()
        #expect(lines.count == 36)
        #expect(lines.allSatisfy { $0["outcome"] == "ok" && $0["tls_version"] == "TLS 1.3" && $0["resumed"] == "0" })
    }

    @Test("TLS 1.2: each ECDHE suite with AEAD, with each kind of key that it is for")
    func tls12() async throws {
        let holder = try await TestHolder()
        for (name, kind) in [("p256.test", "ECDSA"), ("rsa.test", "RSA"), ("ed.test", "ECDSA")] {
            for cipher in ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"] {
                let output: String = try await Self.client(
                    "-tls1_2 -cipher ECDHE-\(kind)-\(cipher) -alpn http/1.1", name: name, holder)
                #expect(output.contains(Self.served), "\(name) \(cipher)")
                #expect(output.contains("Cipher is ECDHE-\(kind)-\(cipher)"))
            }
        }
        let lines = try await holder.stop()
        #expect(lines.count == 9)
        #expect(lines.allSatisfy { $0["outcome"] == "ok" && $0["tls_version"] == "TLS 1.2" && $0["resumed"] == "0" })
    }

    @Test("What has no AEAD, or is older than TLS 1.2, gets an alert")
    func refused() async throws {
        let holder = try await TestHolder()
        for arguments in [
            "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256@SECLEVEL=0", "-tls1_1 -cipher ALL@SECLEVEL=0",
            "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256@SECLEVEL=0",
        ] {
            let output: String = try await Self.client(arguments, holder)
            #expect(!output.contains(Self.served))
            #expect(output.contains("alert"), "\(output)")
        }
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == Array(repeating: "handshake-failed", count: 3))
        #expect(lines.allSatisfy { $0["operation"] == "handoff" && $0["detail"]?.contains("TLS handshake") == true })
    }

    @Test("A second ChangeCipherSpec in TLS 1.2 is answered with unexpected_message, protected if the client resumes")
    func secondChangeCipherSpec() async throws {
        let holder = try await TestHolder()
        let ticket: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: ticket) }
        let first: String = try await Self.client("-tls1_2 -sess_out \(ticket)", holder)
        #expect(first.contains(Self.served))
        let edge = try await holder.edge("paris")
        for resumes in [false, true] {
            let output: String = try await EdgeStandIn.client(
                "-tls1_2 " + (resumes ? "-sess_in \(ticket)" : ""), through: edge, name: "p256.test",
                doublesChangeCipherSpec: true)
            #expect(!output.contains(Self.served))
            #expect(output.contains("unexpected message"), "\(output)")
        }
        await edge.close()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok", "handshake-failed", "handshake-failed"])
    }

    @Test("RSA key exchange only where the site asks for it")
    func rsaKeyExchange() async throws {
        let holder = try await TestHolder()
        let output: String = try await Self.client("-tls1_2 -cipher AES128-GCM-SHA256", name: "rsa.test", holder)
        #expect(!output.contains(Self.served) && output.contains("alert"))
        var configuration = holder.configuration
        configuration.sites = configuration.sites.enumerated().map { index, site in
            var site = site
            site.handshakes.allowsRSAKeyExchange = index == 1
            return site
        }
        try holder.server.reload(configuration)
        for cipher in ["AES128-GCM-SHA256", "AES256-GCM-SHA384"] {
            let output: String = try await Self.client("-tls1_2 -cipher \(cipher)", name: "rsa.test", holder)
            #expect(output.contains(Self.served), "\(output)")
            #expect(output.contains("Cipher is \(cipher)"))
        }
        let ticket: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: ticket) }
        for use in ["-sess_out", "-sess_in"] {
            let output: String = try await Self.client(
                "-tls1_2 -cipher AES128-GCM-SHA256 \(use) \(ticket)", name: "rsa.test", holder)
            #expect(output.contains(use == "-sess_in" ? "Reused, TLSv1.2" : "New, TLSv1.2"), "\(output)")
        }
        // Whatever the site asks for, it is for handoff: the grant of a keyless site has no such handshakes.
        configuration.grants = [
            try PolicyFixtures.grant("paris", "rsa.test", operations: KeyProtocol.Operation.keyless)
        ]
        try holder.server.reload(configuration)
        let keyless: String = try await Self.client("-tls1_2 -cipher AES128-GCM-SHA256", name: "rsa.test", holder)
        #expect(!keyless.contains(Self.served) && keyless.contains("alert handshake failure"), "\(keyless)")
        let resumed: String = try await Self.client(
            "-tls1_2 -cipher AES128-GCM-SHA256 -sess_in \(ticket)", name: "rsa.test", holder)
        #expect(!resumed.contains(Self.served) && resumed.contains("alert handshake failure"), "\(resumed)")
        let ecdhe: String = try await Self.client("-tls1_2", name: "rsa.test", holder)
        #expect(ecdhe.contains(Self.served) && ecdhe.contains("Cipher is ECDHE-RSA"), "\(ecdhe)")
        let lines = try await holder.stop()
        #expect(
            lines.map { $0["outcome"] } == [
                "handshake-failed", "ok", "ok", "ok", "ok", "handshake-failed", "handshake-failed", "ok",
            ])
        #expect(lines[2]["cipher_suite"] == "TLS_RSA_WITH_AES_256_GCM_SHA384")
    }

    /// As for an edge that passes every hello on.
    @Test("A client that names other protocols only gets an alert, and no use of the key", arguments: [2, 3])
    func applicationProtocols(version: Int) async throws {
        let store = RecordingKeyStore()
        let holder = try await TestHolder(keyStore: store)
        for offered in ["imap", "acme-tls/1,imap", "http/1.0,h2c"] {
            let output: String = try await Self.client("-tls1_\(version) -alpn \(offered)", holder)
            #expect(!output.contains(Self.served) && output.contains("alert number 120"), "\(output)")
        }
        #expect(store.operations.withLock { $0.isEmpty })
        for arguments in ["-alpn imap,http/1.1", ""] {
            let output: String = try await Self.client("-tls1_\(version) \(arguments)", holder)
            #expect(output.contains(Self.served), "\(output)")
        }
        let lines = try await holder.stop()
        #expect(
            lines.map { $0["outcome"] } == ["handshake-failed", "handshake-failed", "handshake-failed", "ok", "ok"])
        #expect(lines[0]["detail"] == "the client offers no application protocol of ours")
    }

    /// No session is kept here: what a client brings back is a ticket, or nothing.
    @Test("A TLS 1.2 client that takes no tickets has nothing to resume")
    func sessionIDs() async throws {
        let holder = try await TestHolder()
        let session: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: session) }
        let first: String = try await Self.client("-tls1_2 -no_ticket -sess_out \(session)", holder)
        #expect(first.contains("New, TLSv1.2") && first.contains(Self.served))
        // The server gave the session no name to come back with.
        #expect(first.contains("Session-ID: \n") && !FileManager.default.fileExists(atPath: session), "\(first)")
        #expect(try await holder.stop().map { $0["resumed"] } == ["0"])
    }

    @Test("Ticket keys are replaced by time: a ticket outlives one replacement, and not two", arguments: [2, 3])
    func rotation(version: Int) async throws {
        let holder = try await TestHolder()
        let ticket: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: ticket) }
        let first: String = try await Self.client("-tls1_\(version) -sess_out \(ticket)", holder)
        #expect(first.contains("New, TLSv1.\(version)") && first.contains(Self.served))
        let site = try #require(holder.server.core.policy.sites.first)
        let now: UInt64 = Clock.monotonic()
        for (periods, expected) in [(0.9, "Reused"), (1.1, "Reused"), (2.2, "New")] as [(Double, String)] {
            site.handoff.tickets.tick(now: now + UInt64(periods * Double(SiteTickets.period)))
            let next: String = try await Self.client("-tls1_\(version) -sess_in \(ticket)", holder)
            #expect(next.contains("\(expected), TLSv1.\(version)") && next.contains(Self.served), "\(periods)")
        }
        _ = try await holder.stop()
    }

    @Test("A site may refuse TLS 1.2, whichever edge asks")
    func minimumVersion() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.sites[0].handshakes.minimumVersion = TLSVersion.tls13
        configuration.grants = [
            try PolicyFixtures.grant("paris", "p256.test", operations: KeyProtocol.Operation.keyless),
            try PolicyFixtures.grant("rome", "p256.test", operations: KeyProtocol.Operation.handingOff),
        ]
        try holder.server.reload(configuration)
        for edge in ["paris", "rome"] {
            let refused: String = try await Self.client("-tls1_2", holder, edge: edge)
            #expect(!refused.contains(Self.served) && refused.contains("alert protocol version"), "\(refused)")
        }
        let served: String = try await Self.client("-tls1_3", holder, edge: "rome")
        #expect(served.contains(Self.served))
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["handshake-failed", "handshake-failed", "ok"])
    }

    @Test(
        "A ticket from one edge is good at another; at another key holder there is a full handshake", arguments: [2, 3])
    func resumption(version: Int) async throws {
        let holder = try await TestHolder()
        let other = try await TestHolder()
        let ticket: String = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: ticket) }
        let first: String = try await Self.client("-tls1_\(version) -sess_out \(ticket)", holder)
        #expect(first.contains("New, TLSv1.\(version)") && first.contains(Self.served))
        let second: String = try await Self.client("-tls1_\(version) -sess_in \(ticket)", holder, edge: "rome")
        #expect(second.contains("Reused, TLSv1.\(version)") && second.contains(Self.served), "\(second)")
        // A reload that leaves the site alone leaves its tickets alone.
        try holder.server.reload(holder.configuration)
        let third: String = try await Self.client("-tls1_\(version) -sess_in \(ticket)", holder, edge: "rome")
        #expect(third.contains("Reused, TLSv1.\(version)") && third.contains(Self.served))
        let elsewhere: String = try await Self.client("-tls1_\(version) -sess_in \(ticket)", other)
        #expect(elsewhere.contains("New, TLSv1.\(version)") && elsewhere.contains(Self.served))
        let lines = try await holder.stop()
        #expect(lines.map { $0["resumed"] } == ["0", "1", "1"])
        #expect(lines.map { $0["edge"] } == ["paris", "rome", "rome"])
        #expect(try await other.stop().map { $0["resumed"] } == ["0"])
    }
}
