import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// Handoff sites, with the real binaries and the clients that people use.
@Suite(.serialized, .timeLimit(.minutes(5))) struct HandoffClientsTests {
    private static let request = "GET / HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n"

    @Test func everyKeyTypeAndVersionIsServedToCurlAndOpenSSL() async throws {
        let names = SiteKeyType.allCases.map { "\($0.rawValue).test" }
        let stage = try await HandoffStage(sites: zip(names, SiteKeyType.allCases).map { ($0, $1) })
        for name in names {
            for version in ["1.2", "1.3"] {
                let fetched = try Tool.curl(
                    "https://\(name)/", to: stage.edge.port, stage.workspace, "--tlsv\(version)", "--tls-max", version)
                #expect(fetched.output == "from the origin", "\(name) over TLS \(version): \(fetched.errors)")
                let flag = version == "1.2" ? "-tls1_2" : "-tls1_3"
                let shaken = try Tool.openssl(
                    stage.edge.port, stage.workspace, "-servername", name, "-verify_hostname", name, flag)
                #expect(shaken.all.contains("Verify return code: 0 (ok)"), "\(name) over TLS \(version)")
                #expect(shaken.all.contains("TLSv\(version)"))
                try stage.keyHolder.waitForAudit("handoff of \(name)") {
                    $0["operation"] == "handoff" && $0["site"] == name && $0["outcome"] == "ok"
                        && $0["client"] == "127.0.0.1" && $0["edge"] == "paris" && $0["tls_version"] == "TLS \(version)"
                }
            }
        }
        #expect(!stage.keyHolder.audit.contains { $0["operation"]?.hasPrefix("sign-") == true })
        try await stage.stop()
    }

    @Test(arguments: [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    ])
    func openSSLWithEverySuiteOfTLS13(suite: String) async throws {
        let stage = try await HandoffStage()
        let answer = try Tool.openssl(
            stage.edge.port, stage.workspace, "-servername", "www.test", "-tls1_3", "-ciphersuites", suite, "-ign_eof",
            input: Self.request)
        #expect(answer.all.contains("Cipher is \(suite)"), "\(answer.all)")
        #expect(answer.output.contains("from the origin"))
        try await stage.stop()
    }

    @Test func openSSLWithEverySuiteOfTLS12() async throws {
        let stage = try await HandoffStage(sites: [("www.test", .p256), ("rsa.test", .rsa2048)])
        let ciphers = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
        for (name, authentication) in [("www.test", "ECDSA"), ("rsa.test", "RSA")] {
            for cipher in ciphers.map({ "ECDHE-\(authentication)-\($0)" }) {
                let answer = try Tool.openssl(
                    stage.edge.port, stage.workspace, "-servername", name, "-tls1_2", "-cipher", cipher, "-ign_eof",
                    input: "GET / HTTP/1.1\r\nHost: \(name)\r\nConnection: close\r\n\r\n")
                #expect(answer.all.contains("Cipher is \(cipher)"), "\(answer.all)")
                #expect(answer.output.contains("from the origin"), "\(cipher)")
            }
        }
        // RSA key exchange and CBC are not offered.
        for cipher in ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"] {
            let refused = try Tool.openssl(
                stage.edge.port, stage.workspace, "-servername", "rsa.test", "-tls1_2", "-cipher", cipher)
            #expect(refused.all.contains("alert handshake failure"), "\(cipher): \(refused.all)")
        }
        try await stage.stop()
    }

    /// The last one offers a share of a group that the key holder doesn't take, and gets a HelloRetryRequest.
    @Test(arguments: ["X25519", "P-256", "P-521:X25519"])
    func openSSLWithGroups(groups: String) async throws {
        let stage = try await HandoffStage()
        for version in ["-tls1_3", "-tls1_2"] {
            let answer = try Tool.openssl(
                stage.edge.port, stage.workspace, "-servername", "www.test", "-groups",
                version == "-tls1_2" && groups != "P-256" ? "\(groups):P-256" : groups, version, "-ign_eof",
                input: Self.request)
            #expect(answer.output.contains("from the origin"), "\(groups) \(version): \(answer.all)")
        }
        try await stage.stop()
    }

    @Test func openSSLUpdatesItsKeysAndAsksForOurs() async throws {
        let stage = try await HandoffStage()
        let client = try InteractiveTool(
            "openssl",
            [
                "s_client", "-connect", "127.0.0.1:\(stage.edge.port)", "-CAfile", stage.workspace.path("roots.pem"),
                "-servername", "www.test", "-tls1_3",
            ], in: stage.workspace)
        try client.wait(for: "Verify return code: 0 (ok)")
        var updates = 0
        for command in ["k\n", "K\n", "K\n", "k\n"] {
            try client.send(command)
            updates += 1
            try client.wait(for: "KEYUPDATE", times: updates)
            try client.send("GET / HTTP/1.1\r\nHost: www.test\r\n\r\n")
            try client.wait(for: "from the origin", times: updates)
        }
        try client.finish()
        try await stage.stop()
    }

    @Test func sessionsResumeAtEveryEdgeAndNowhereElse() async throws {
        let stage = try await HandoffStage(edges: ["paris", "berlin"])
        for version in ["1.3", "1.2"] {
            let file = stage.workspace.path("session-\(version)")
            let flag = version == "1.2" ? "-tls1_2" : "-tls1_3"
            func shake(_ port: UInt16, _ arguments: String...) throws -> String {
                try Tool.run(
                    "openssl",
                    [
                        "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", stage.workspace.path("roots.pem"),
                        "-verify_return_error", "-servername", "www.test", flag, "-ign_eof",
                    ] + arguments, input: Self.request
                ).all
            }
            let first = try shake(stage.edges[0].port, "-sess_out", file)
            #expect(first.contains("New, TLSv\(version)") && first.contains("from the origin"), "\(first)")
            for edge in stage.edges {
                let again = try shake(edge.port, "-sess_in", file, "-sess_out", file)
                #expect(again.contains("Reused, TLSv\(version)"), "\(again)")
                #expect(again.contains("from the origin"))
            }
            try stage.keyHolder.waitForAudit("a resumption at berlin") {
                $0["operation"] == "handoff" && $0["edge"] == "berlin"
                    && ($0["resumed"] == "1" || $0["resumed"] == "true")
                    && $0["tls_version"] == "TLS \(version)"
            }
        }
        // Another process has other ticket keys: a full handshake, and no error.
        let port = stage.keyHolder.port
        stage.keyHolder.stop()
        let other = try RunningKeyHolder(
            sites: ["www.test"], grantedTo: "paris,berlin", operations: "handoff", port: port, in: stage.workspace)
        try stage.waitUntilServed("www.test")
        for version in ["1.3", "1.2"] {
            let answer = try Tool.openssl(
                stage.edge.port, stage.workspace, "-servername", "www.test", version == "1.2" ? "-tls1_2" : "-tls1_3",
                "-ign_eof", "-sess_in", stage.workspace.path("session-\(version)"), input: Self.request)
            #expect(answer.all.contains("New, TLSv\(version)"), "\(answer.all)")
            #expect(answer.output.contains("from the origin"))
        }
        other.stop()
        try await stage.stop()
    }

    @Test func earlyDataIsRefusedAndTheRequestIsServedAfterwards() async throws {
        let stage = try await HandoffStage()
        let session = stage.workspace.path("session")
        let early = stage.workspace.path("early")
        try stage.workspace.write("GET /early HTTP/1.1\r\nHost: www.test\r\n\r\n", to: "early")
        _ = try Tool.openssl(
            stage.edge.port, stage.workspace, "-servername", "www.test", "-tls1_3", "-ign_eof", "-sess_out", session,
            input: Self.request)
        let answer = try Tool.openssl(
            stage.edge.port, stage.workspace, "-servername", "www.test", "-tls1_3", "-ign_eof", "-sess_in", session,
            "-early_data", early, input: Self.request)
        // Tickets don't allow early data, so a client that keeps to them sends none.
        #expect(answer.all.contains("Early data was not sent") || answer.all.contains("Early data was rejected"))
        #expect(answer.output.contains("from the origin"), "\(answer.all)")
        try await stage.stop()
    }

    @Test(.enabled(if: Tool.exists("python3")))
    func pythonsSSLModule() async throws {
        let stage = try await HandoffStage()
        let script = """
            import socket, ssl, sys
            for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
                context = ssl.create_default_context(cafile=sys.argv[2])
                context.minimum_version = context.maximum_version = version
                session = None
                for turn in range(2):
                    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as plain:
                        with context.wrap_socket(plain, server_hostname="www.test", session=session) as tls:
                            tls.sendall(b"GET / HTTP/1.1\\r\\nHost: www.test\\r\\nConnection: close\\r\\n\\r\\n")
                            answer = b""
                            while chunk := tls.recv(65536):
                                answer += chunk
                            session = tls.session
                            print(tls.version(), tls.session_reused, answer.endswith(b"from the origin"))
            """
        let answer = try Tool.run(
            "python3", ["-c", script, "\(stage.edge.port)", stage.workspace.path("roots.pem")])
        #expect(
            answer.output.split(separator: "\n") == [
                "TLSv1.3 False True", "TLSv1.3 True True", "TLSv1.2 False True", "TLSv1.2 True True",
            ], "\(answer.all)")
        try await stage.stop()
    }

    @Test func ourOwnDiagnosingClient() async throws {
        let stage = try await HandoffStage()
        for version in ["1.2", "1.3"] {
            let answer = try Tool.run(
                TestProcess.executable.path,
                [
                    "client", "https://www.test/", "--connect", "127.0.0.1:\(stage.edge.port)", "--roots",
                    stage.workspace.path("roots.pem"), "--tls", version,
                ])
            #expect(answer.status == 0, "\(answer.all)")
            #expect(answer.output == "from the origin")
        }
        try await stage.stop()
    }

    @Test(arguments: SiteKeyType.allCases)
    func checkShakesHandsThroughTheKeyHolder(keyType: SiteKeyType) async throws {
        let stage = try await HandoffStage(sites: [("www.test", keyType)])
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o600], ofItemAtPath: stage.workspace.path("edge-paris.key"))
        let program = TestProcess.executable.path
        let good = try Tool.run(program, ["check", "--config", stage.workspace.path("paris.yaml")])
        #expect(good.status == 0, "\(good.all)")
        #expect(
            good.output.contains(
                "chain of 1, key identifier and a TLS 1.3 handshake of key holder home belong together"), "\(good.all)")
        // The chain of another key: the key holder itself would refuse to load it, so the grant is what goes wrong here.
        try stage.keyHolder.reload(grantedTo: "paris", operations: "keyless")
        let wrong = try Tool.run(program, ["check", "--config", stage.workspace.path("paris.yaml")])
        #expect(wrong.status == 1)
        #expect(wrong.output.contains("its key holder does not lend it for handoff"), "\(wrong.all)")
        try await stage.stop()
    }
}
