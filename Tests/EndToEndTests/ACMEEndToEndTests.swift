import Foundation
import PrivateAuthority
import TestDirectory
import TestSockets
import Testing

/// Sites without certificate files, with real binaries: an authority checks their names through a running edge.
@Suite(.serialized, .timeLimit(.minutes(6))) struct ACMEEndToEndTests {
    /// An origin, an edge that is up before its key holder, and the key holder's file.
    private final class Stage: Sendable {
        static let sites = [("www.test", "handoff"), ("api.test", "keyless")]

        let workspace: Workspace
        let edge: RunningEdge
        let keyHolderPort: UInt16
        private let origin: TLSOrigin

        /// - Parameter plain: Where the edge takes clients without TLS.
        init(plain: UInt16? = nil) async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            try workspace.makeIdentity(.keyholder, "home")
            try workspace.makeSite("origin.test")
            self.origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
            let (port, originPort) = (try Workspace.freePort(), self.origin.port)
            self.keyHolderPort = port
            let entries = Self.sites.map { name, mode in
                """
                  - domains: [\(name)]
                    mode: \(mode)
                    keyholder: home
                    origin: { url: "https://127.0.0.1:\(originPort)", name: origin.test, roots: roots.pem }
                """
            }
            self.edge = try await blocking {
                try RunningEdge(
                    """
                    \(plain.map { "listen-http: [127.0.0.1:\($0)]" } ?? "")
                    keyholders:
                      home: { addresses: ["127.0.0.1:\(port)"], deadline: 5s }
                    sites:
                    \(entries.joined(separator: "\n"))
                    """, in: workspace)
            }
        }

        func configure(
            directory: String, renewAfter: Int, binding: Bool, challenge: String = "tls-alpn-01", keys: String? = nil
        ) throws {
            try self.workspace.write(Pebble.macKey + "\n", to: "eab.key")
            let entries = Self.sites.map { name, _ in
                """
                  - domains: [\(name)]
                    acme:
                      directory: \(directory)
                      email: owner@\(name)
                      \(binding ? "eab: { kid: kid-1, key: eab.key }" : "")
                      challenge: \(challenge)
                      \(keys.map { "keys: \($0)" } ?? "")
                      roots: roots.pem
                      renew-after: \(renewAfter)%
                """
            }
            try self.workspace.write(
                """
                role: keyholder
                listen: 127.0.0.1:\(self.keyHolderPort)
                identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
                state: state
                sites:
                \(entries.joined(separator: "\n"))
                grants:
                  - { edge: paris, sites: [www.test], operations: [handoff] }
                  - { edge: paris, sites: [api.test], operations: [keyless] }
                audit: audit.jsonl
                log: { level: debug, format: json }
                """, to: "home.yaml")
        }

        /// With Pebble as the authority of both sites, which finds them at the edge.
        ///
        /// - Parameter plain: where it finds them without TLS; nil: by TLS.
        func withPebble(
            plain: UInt16? = nil, renewAfter: Int, challenge: String = "tls-alpn-01", keys: String? = nil,
            _ body: @escaping @Sendable (Pebble) throws -> Void
        ) async throws {
            let port = try Workspace.freePort()
            try await blocking {
                let pebble = try Pebble(
                    port: port, tlsPort: plain == nil ? self.edge.port : 9, httpPort: plain ?? 9, validity: 240,
                    in: self.workspace)
                defer { pebble.stop() }
                try self.configure(
                    directory: pebble.url, renewAfter: renewAfter, binding: true, challenge: challenge, keys: keys)
                try body(pebble)
            }
        }

        func startKeyHolder() throws -> TestProcess {
            try TestProcess(["keyholder", "--inspectable", "--config", "home.yaml"], name: "home", in: self.workspace)
        }

        /// One request, verified by a root that the authority's certificates lead to.
        func ask(_ name: String, root: String, _ arguments: String...) throws -> String {
            try Tool.run(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(self.edge.port)", "-CAfile", self.workspace.path(root),
                    "-verify_return_error", "-servername", name, "-verify_hostname", name, "-ign_eof",
                ] + arguments, input: "GET / HTTP/1.1\r\nHost: \(name)\r\nConnection: close\r\n\r\n"
            ).all
        }

        var audit: [LogLine] {
            ((try? self.workspace.read("audit.jsonl")) ?? "").split(separator: "\n").compactMap { LogLine($0) }
        }

        func audit(_ operation: String, _ site: String, _ outcome: String) -> Int {
            self.audit.count {
                $0["operation"] == operation && $0["site"] == site && $0["outcome"] == outcome
            }
        }
    }

    @Test("With Pebble: both modes get their certificates through the edge, and renew without a failed handshake")
    func pebble() async throws {
        let stage = try await Stage()
        defer { stage.edge.stop() }
        try await stage.withPebble(renewAfter: 10) { pebble in
            var keyHolder = try stage.startKeyHolder()
            defer { keyHolder.stop() }
            for (name, _) in Stage.sites {
                try keyHolder.wait(for: "a new certificate is in use") { $0["site"] == name }
            }
            // The edge has heard, and clients get what they can verify, in both versions of TLS.
            for (name, _) in Stage.sites {
                for version in ["-tls1_3", "-tls1_2"] {
                    let answer = try eventually("\(name) with \(version)") {
                        let answer = try stage.ask(name, root: "pebble-root.pem", version)
                        return answer.contains("from the origin") ? answer : nil
                    }
                    #expect(answer.contains("Verify return code: 0 (ok)"), "\(answer)")
                }
            }
            let checks = stage.audit.filter { $0["detail"] == "an authority's check was answered" }
            #expect(Set(checks.compactMap { $0["site"] }) == ["www.test", "api.test"], "\(pebble.log)")
            #expect(checks.allSatisfy { $0["outcome"] == "ok" && $0["tls_version"] == "TLS 1.2" })
            #expect(stage.audit("certificate-account", "www.test", "ok") == 1)
            // No order is open now: there is nothing to see, and no HTTP.
            for (name, _) in Stage.sites {
                let check = try stage.ask(name, root: "pebble-root.pem", "-alpn", "acme-tls/1")
                #expect(check.contains("alert number 120") && !check.contains("HTTP/1.1"), "\(check)")
            }

            // Renewed by itself, twice at least, under clients that come all the time.
            let before = stage.audit("certificate-order", "www.test", "ok")
            var handshakes = 0
            var failed: [String] = []
            _ = try eventually("two renewals") {
                for (name, _) in Stage.sites {
                    let answer = try stage.ask(name, root: "pebble-root.pem")
                    handshakes += 1
                    if !answer.contains("from the origin") { failed.append(answer) }
                }
                return stage.audit("certificate-order", "www.test", "ok") >= before + 2 ? true : nil
            }
            #expect(failed.isEmpty, "\(failed.count) of \(handshakes): \(failed.first ?? "")")
            #expect(handshakes >= 10)

            // A restart finds everything: the first answer is good without an order before it.
            keyHolder.stop()
            let key = try stage.workspace.read("state/sites/www.test/site.key")
            keyHolder = try stage.startKeyHolder()
            try keyHolder.wait(for: "listening")
            let line = try eventually("the site") {
                keyHolder.lines("site loaded").first { $0["site"] == "www.test" }
            }
            #expect(line["key"] == "P-256")
            #expect(try stage.workspace.read("state/sites/www.test/site.key") == key)
            _ = try eventually("www.test again") {
                try stage.ask("www.test", root: "pebble-root.pem").contains("from the origin") ? true : nil
            }
            #expect(stage.audit("certificate-account", "www.test", "ok") == 1)
        }
    }

    @Test(
        "With Pebble: RSA and ECDSA certificates for a site, each shown to the clients that know it, and each renewed by its own time"
    )
    func bothKinds() async throws {
        let stage = try await Stage()
        defer { stage.edge.stop() }
        try await stage.withPebble(renewAfter: 10, keys: "[ecdsa, rsa]") { _ in
            let check = try TestProcess(
                ["check", "--offline", "--config", "home.yaml"], name: "check", in: stage.workspace)
            #expect(try check.waitForExit() == 0, "\(check.text)")
            for kind in ["ecdsa", "rsa"] {
                #expect(check.text.contains("www.test: the \(kind) certificate is ordered at the start"))
            }
            let keyHolder = try stage.startKeyHolder()
            defer { keyHolder.stop() }
            func orders(_ name: String, _ kind: String) -> Int {
                keyHolder.lines("a new certificate is in use").count { $0["site"] == name && $0["key"] == kind }
            }
            let schemes = [
                ("ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256", "id-ecPublicKey"),
                ("RSA-PSS+SHA256:RSA+SHA256", "rsaEncryption"),
            ]
            for (name, _) in Stage.sites {
                for kind in ["ecdsa", "rsa"] {
                    try keyHolder.wait(for: "a new certificate is in use") { $0["site"] == name && $0["key"] == kind }
                }
                for version in ["-tls1_3", "-tls1_2"] {
                    for (offered, algorithm) in schemes {
                        let answer = try eventually("\(name) with \(version) and \(offered)") {
                            let answer = try stage.ask(name, root: "pebble-root.pem", version, "-sigalgs", offered)
                            return answer.contains("from the origin") ? answer : nil
                        }
                        let text = try Tool.run("openssl", ["x509", "-noout", "-text"], input: answer).output
                        #expect(text.contains("Public Key Algorithm: \(algorithm)"), "\(offered): \(text)")
                        #expect(answer.contains("Verify return code: 0 (ok)"))
                    }
                }
            }
            // One account, and two keys in two places.
            #expect(stage.audit("certificate-account", "www.test", "ok") == 1)
            let keys = try ["site.key", "rsa/site.key"].map { try stage.workspace.read("state/sites/www.test/\($0)") }
            #expect(keys[0] != keys[1])
            // Each is renewed, and no handshake fails for it, whatever the client knows.
            var failed: [String] = []
            _ = try eventually("a renewal of each") {
                for (name, _) in Stage.sites {
                    for (offered, _) in schemes {
                        let answer = try stage.ask(name, root: "pebble-root.pem", "-sigalgs", offered)
                        if !answer.contains("from the origin") { failed.append(answer) }
                    }
                }
                return Stage.sites.allSatisfy { orders($0.0, "ecdsa") >= 2 && orders($0.0, "rsa") >= 2 } ? true : nil
            }
            #expect(failed.isEmpty, "\(failed.count): \(failed.first ?? "")")
        }
    }

    @Test(
        "Renewal information decides, where the directory has it; the check is answered with a certificate of its own")
    func renewalInformation() async throws {
        let stage = try await Stage()
        defer { stage.edge.stop() }
        let edgePort = stage.edge.port
        let server = try TestDirectoryServer { kind, name, _ in
            guard kind == "tls-alpn-01" else { return false }
            // By an ordinary client: it gets a certificate for this name with the extension, and the connection ends.
            let seen = try? Tool.run(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(edgePort)", "-servername", name, "-alpn", "acme-tls/1",
                    "-ign_eof", "-showcerts",
                ], input: "GET / HTTP/1.1\r\nHost: \(name)\r\n\r\n")
            guard let seen, seen.all.contains("ALPN protocol: acme-tls/1"),
                seen.all.contains("ACME challenge"),
                !seen.all.contains("HTTP/1.1"), !seen.all.contains("from the origin")
            else { return false }
            let text = try? Tool.run("openssl", ["x509", "-noout", "-text"], input: seen.output)
            let extensions = ["1.3.6.1.5.5.7.1.31: critical", "ACME Identifier: critical"]
            return extensions.contains { text?.output.contains($0) == true }
                && text?.output.contains("DNS:\(name)") == true
        }
        defer { server.stop() }
        server.directory.set { $0.window = 2...3 }
        try await blocking {
            try stage.workspace.write(
                try stage.workspace.read("roots.pem") + "\n" + server.directory.root + "\n", to: "roots.pem")
            try stage.configure(directory: server.url, renewAfter: 90, binding: false)
            let keyHolder = try stage.startKeyHolder()
            defer { keyHolder.stop() }
            _ = try eventually("renewals") {
                Stage.sites.allSatisfy { stage.audit("certificate-order", $0.0, "ok") >= 2 } ? true : nil
            }
            #expect(server.directory.replaced.contains { $0 != nil })
            for (name, _) in Stage.sites {
                _ = try eventually("the new certificate") {
                    try stage.ask(name, root: "roots.pem").contains("from the origin") ? true : nil
                }
            }
        }
    }

    @Test("With Pebble over port 80: both modes get their certificates with http-01, which the key holder answers")
    func pebbleWithoutTLS() async throws {
        let plain = try Workspace.freePort()
        let stage = try await Stage(plain: plain)
        defer { stage.edge.stop() }
        try await stage.withPebble(plain: plain, renewAfter: 66, challenge: "http-01") { pebble in
            let keyHolder = try stage.startKeyHolder()
            defer { keyHolder.stop() }
            for (name, _) in Stage.sites {
                try keyHolder.wait(for: "a new certificate is in use") { $0["site"] == name }
                _ = try eventually(name) {
                    try stage.ask(name, root: "pebble-root.pem").contains("from the origin") ? true : nil
                }
                #expect(stage.audit("challenge", name, "ok") >= 1, "\(pebble.log)")
            }
            // No order is open now: what an authority asks is the origin's to answer.
            #expect(try Self.ask(plain, "www.test", "abc").contains("from the origin"))
        }
    }

    @Test("A token is answered while its order is open, for its own name, and no other is")
    func tokens() async throws {
        let plain = try Workspace.freePort()
        let stage = try await Stage(plain: plain)
        defer { stage.edge.stop() }
        let server = try TestDirectoryServer { kind, name, authorization in
            guard kind == "http-01", let token = authorization.split(separator: ".").first else { return false }
            let other = name == "www.test" ? "api.test" : "www.test"
            guard let exact = try? Self.ask(plain, name, token), let head = try? Self.ask(plain, name, token, "HEAD"),
                let wrong = try? Self.ask(plain, name, token.dropLast()),
                let elsewhere = try? Self.ask(plain, other, token),
                let nowhere = try? Self.ask(plain, "nowhere.test", token)
            else { return false }
            return exact.hasPrefix("HTTP/1.1 200") && exact.hasSuffix("\r\n\r\n\(authorization)")
                && head.hasPrefix("HTTP/1.1 200") && head.hasSuffix("\r\n\r\n") && wrong.contains("from the origin")
                && elsewhere.contains("from the origin") && nowhere.hasPrefix("HTTP/1.1 404")
        }
        defer { server.stop() }
        try await blocking {
            try stage.workspace.write(
                try stage.workspace.read("roots.pem") + "\n" + server.directory.root + "\n", to: "roots.pem")
            try stage.configure(directory: server.url, renewAfter: 90, binding: false, challenge: "http-01")
            let keyHolder = try stage.startKeyHolder()
            defer { keyHolder.stop() }
            for (name, _) in Stage.sites {
                try keyHolder.wait(for: "a new certificate is in use") { $0["site"] == name }
            }
            #expect(Stage.sites.allSatisfy { stage.audit("certificate-order", $0.0, "failed") == 0 })
        }
    }

    /// One request without TLS for a token.
    private static func ask(
        _ port: UInt16, _ host: String, _ token: some StringProtocol, _ method: String = "GET"
    ) throws -> String {
        let socket = try TestSocket.connect(port: port)
        let request =
            "\(method) /.well-known/acme-challenge/\(token) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n"
        try socket.send(Array(request.utf8))
        return String(decoding: try socket.receiveToEnd(), as: UTF8.self)
    }

    @Test(
        "certbot at the origin of a relay site gets its certificate through the edge's port 80",
        .enabled(if: Tool.exists("certbot"), "certbot is missing: scripts/need test installs it"))
    func certbot() async throws {
        let workspace = try Workspace()
        let (plain, originPort, certbotPort, pebblePort) = (
            try Workspace.freePort(), try Workspace.freePort(), try Workspace.freePort(), try Workspace.freePort()
        )
        try await blocking {
            let edge = try RunningEdge(
                """
                listen-http: [127.0.0.1:\(plain)]
                sites:
                  - domains: [bank.test]
                    mode: relay
                    origin: { address: "127.0.0.1:\(originPort)", http: "127.0.0.1:\(certbotPort)" }
                """, in: workspace)
            defer { edge.stop() }
            let pebble = try Pebble(
                port: pebblePort, tlsPort: edge.port, httpPort: plain, validity: 3600, refusedNonces: 0, in: workspace)
            defer { pebble.stop() }
            let folder = workspace.path("certbot")
            let run = try Tool.run(
                "env",
                [
                    "REQUESTS_CA_BUNDLE=\(workspace.path("roots.pem"))", "certbot", "certonly", "--standalone",
                    "--non-interactive", "--agree-tos", "--register-unsafely-without-email", "--server", pebble.url,
                    "--eab-kid", "kid-1", "--eab-hmac-key", Pebble.macKey, "--http-01-address", "127.0.0.1",
                    "--http-01-port", "\(certbotPort)", "--config-dir", folder, "--work-dir", folder, "--logs-dir",
                    folder, "-d", "bank.test",
                ])
            #expect(run.status == 0, "\(run.all) \(pebble.log)")
            // The origin serves with it, and a client verifies that through the edge.
            let live = "\(folder)/live/bank.test"
            let origin = try ChildProcess(
                "openssl",
                [
                    "s_server", "-accept", "127.0.0.1:\(originPort)", "-cert", "\(live)/fullchain.pem", "-key",
                    "\(live)/privkey.pem", "-cert_chain", "\(live)/chain.pem", "-www",
                ])
            defer {
                origin.send(SIGTERM)
                _ = origin.waitForEnd()
            }
            let answer = try eventually("the origin") {
                let answer = try Tool.run(
                    "openssl",
                    [
                        "s_client", "-connect", "127.0.0.1:\(edge.port)", "-CAfile", workspace.path("pebble-root.pem"),
                        "-verify_return_error", "-servername", "bank.test", "-verify_hostname", "bank.test", "-ign_eof",
                    ], input: "GET / HTTP/1.0\r\n\r\n")
                return answer.status == 0 ? answer.all : nil
            }
            #expect(answer.contains("Verify return code: 0 (ok)"), "\(answer)")
        }
    }

    @Test("A directory that is down, and a state folder that is in use, are said with what to do")
    func faults() async throws {
        let stage = try await Stage()
        defer { stage.edge.stop() }
        let port = try Workspace.freePort()
        try await blocking {
            try stage.configure(directory: "https://localhost:\(port)/dir", renewAfter: 66, binding: false)
            let check = try TestProcess(
                ["check", "--offline", "--config", "home.yaml"], name: "check", in: stage.workspace)
            #expect(try check.waitForExit() == 0, "\(check.text)")
            #expect(check.text.contains("www.test: the certificate is ordered at the start"))
            let keyHolder = try stage.startKeyHolder()
            defer { keyHolder.stop() }
            let line = try eventually("the failure") {
                keyHolder.log.first { $0.message.hasPrefix("no certificate: the ACME directory cannot be reached") }
            }
            #expect(line["failures"] == "1" && line["present-certificate"] == "none", "\(line.fields)")
            _ = try eventually("the audit line") {
                stage.audit("certificate-order", line["site"] ?? "", "failed") == 1 ? true : nil
            }
            // The site is there all the same, with a certificate that no client trusts.
            let answer = try stage.ask("www.test", root: "roots.pem")
            #expect(answer.contains("verify error") && !answer.contains("from the origin"), "\(answer)")
            let other = try TestProcess(["keyholder", "--config", "home.yaml"], name: "other", in: stage.workspace)
            #expect(try other.waitForExit() == 1)
            #expect(other.text.contains("state is in use by another process"), "\(other.text)")
        }
    }
}
