import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// Keyless sites with the real binaries and ordinary clients.
@Suite(.serialized, .timeLimit(.minutes(3))) struct KeylessEndToEndTests {
    private static func sites(_ names: [String], keyHolder port: UInt16, origin: UInt16, deadline: String = "2s")
        -> String
    {
        let entries = names.map { name in
            """
              - domains: [\(name)]
                mode: keyless
                keyholder: home
                origin: { url: "https://127.0.0.1:\(origin)", name: origin.test, roots: roots.pem }
            """
        }
        return """
            keyholders:
              home: { addresses: ["127.0.0.1:\(port)"], deadline: \(deadline) }
            sites:
            \(entries.joined(separator: "\n"))
            """
    }

    private static func origin(in workspace: Workspace) async throws -> TLSOrigin {
        try workspace.makeSite("origin.test")
        return try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
    }

    /// Asks until the edge has its certificate.
    private static func waitUntilServed(_ name: String, by edge: RunningEdge, in workspace: Workspace) throws {
        _ = try eventually("\(name) being served") {
            try Tool.curl("https://\(name)/", to: edge.port, workspace).status == 0 ? true : nil
        }
    }

    /// Clients that get a HelloRetryRequest and say no more want nothing of the key holder: they keep no other client waiting.
    @Test func clientsThatAreAskedForAnotherKeyShareHoldUpNoOthers() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try await Self.origin(in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let edge = try RunningEdge(
            Self.sites(["www.test"], keyHolder: keyHolder.port, origin: origin.port)
                + "\nlimits: { handshakes-per-client: 10000 }\n", in: workspace)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        var hello = TestHello(serverName: "www.test")
        hello.asksForRetry = true
        let records = hello.records()
        let silent = try (0..<200).map { _ in
            let socket = try TestSocket.connect(port: edge.port)
            try socket.send(records)
            // A handshake record with a ServerHello, which a HelloRetryRequest is.
            let answer = try socket.receive(exactly: 6)
            #expect(answer[0] == 22 && answer[5] == 2)
            return socket
        }
        let fetched = try Tool.curl("https://www.test/", to: edge.port, workspace)
        #expect(fetched.output == "from the origin", "\(fetched.errors)")
        for socket in silent { socket.close() }
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }

    @Test func everyKeyTypeAndVersionIsServedToCurlAndOpenSSL() async throws {
        let workspace = try Workspace()
        let names = SiteKeyType.allCases.map { "\($0.rawValue).test" }
        for type in SiteKeyType.allCases { try workspace.makeSite("\(type.rawValue).test", keyType: type) }
        let origin = try await Self.origin(in: workspace)
        let keyHolder = try RunningKeyHolder(sites: names, grantedTo: "paris", in: workspace)
        let edge = try RunningEdge(
            Self.sites(names, keyHolder: keyHolder.port, origin: origin.port), in: workspace)
        for name in names { try Self.waitUntilServed(name, by: edge, in: workspace) }
        for name in names {
            for version in ["1.2", "1.3"] {
                let fetched = try Tool.curl(
                    "https://\(name)/", to: edge.port, workspace, "--tlsv\(version)", "--tls-max", version)
                #expect(fetched.output == "from the origin", "\(name) over TLS \(version): \(fetched.errors)")
                let flag = version == "1.2" ? "-tls1_2" : "-tls1_3"
                let shaken = try Tool.openssl(
                    edge.port, workspace, "-servername", name, "-verify_hostname", name, flag)
                #expect(shaken.all.contains("Verify return code: 0 (ok)"), "\(name) over TLS \(version)")
                #expect(shaken.all.contains("TLSv\(version)"))
                // A client without TLS 1.3 is shaken hands with by the key holder.
                let operation = version == "1.2" ? "handoff" : "sign-tls13"
                try keyHolder.waitForAudit("\(operation) for \(name)") {
                    $0["operation"] == operation && $0["site"] == name && $0["outcome"] == "ok"
                        && $0["client"] == "127.0.0.1" && $0["edge"] == "paris"
                        && $0["tls_version"] == (version == "1.2" ? "TLS 1.2" : nil)
                }
            }
        }
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }

    @Test func anEdgeWithoutAGrantGetsNoSignatureAndDisturbsNobody() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try await Self.origin(in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let yaml = Self.sites(["www.test"], keyHolder: keyHolder.port, origin: origin.port)
        let paris = try RunningEdge(yaml, in: workspace)
        let berlin = try RunningEdge(yaml, name: "berlin", in: workspace)
        try Self.waitUntilServed("www.test", by: paris, in: workspace)
        let refused = try Tool.openssl(berlin.port, workspace, "-servername", "www.test")
        #expect(refused.all.contains("alert internal error"), "\(refused.all)")
        try keyHolder.waitForAudit("berlin refused") { $0["edge"] == "berlin" && $0["outcome"] == "refused" }
        #expect(!keyHolder.audit.contains { $0["edge"] == "berlin" && $0["outcome"] == "ok" })
        #expect(try Tool.curl("https://www.test/", to: paris.port, workspace).status == 0)
        paris.stop()
        berlin.stop()
        keyHolder.stop()
        try await origin.stop()
    }

    @Test func aWithdrawnGrantEndsAtOnceAndComesBackWithTheNextReload() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try await Self.origin(in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let edge = try RunningEdge(
            Self.sites(["www.test"], keyHolder: keyHolder.port, origin: origin.port, deadline: "1s"), in: workspace)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        try keyHolder.reload(grantedTo: "elsewhere")
        let signed = keyHolder.audit.count { $0["operation"] == "sign-tls13" && $0["outcome"] == "ok" }
        #expect(try Tool.curl("https://www.test/", to: edge.port, workspace).status == 35)
        #expect(keyHolder.audit.count { $0["operation"] == "sign-tls13" && $0["outcome"] == "ok" } == signed)
        try keyHolder.reload(grantedTo: "paris")
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }

    @Test func aKeyHolderThatDiesIsAnAlertAndALineAndItsReturnNeedsNoRestart() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try await Self.origin(in: workspace)
        let first = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let edge = try RunningEdge(
            Self.sites(["www.test"], keyHolder: first.port, origin: origin.port, deadline: "500ms"), in: workspace)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        first.process.kill9()
        let refused = try Tool.openssl(edge.port, workspace, "-servername", "www.test")
        #expect(refused.all.contains("alert internal error"), "\(refused.all)")
        try edge.process.wait(for: "key holder is down")
        try edge.process.wait(for: "handshake failed")
        #expect(
            try edge.metric(
                #"latchstring_edge_handshakes_total{mode="keyless",outcome="key-holder-error",site="www.test"}"#) >= 1)
        let second = try RunningKeyHolder(
            sites: ["www.test"], grantedTo: "paris", port: first.port, in: workspace)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        try edge.process.wait(for: "key holder is back")
        edge.stop()
        second.stop()
        try await origin.stop()
    }

    @Test func stockGrantsAreNamedAtTheStart() throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let keyHolder = try RunningKeyHolder(
            sites: ["www.test"], grantedTo: "paris", operations: "keyless, ecdsa-sign", in: workspace)
        let line = try keyHolder.process.wait(
            for: "a grant has stock operations: with them an edge has whatever it likes signed or decrypted")
        #expect(line["level"] == "warning" && line["edge"] == "paris")
        #expect(line["operations"] == "ecdsa-sign" && line["sites"] == "www.test")
        keyHolder.stop()
    }

    @Test func aKeyHolderThatHangsEndsHandshakesAtTheirDeadline() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try await Self.origin(in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let edge = try RunningEdge(
            Self.sites(["www.test"], keyHolder: keyHolder.port, origin: origin.port, deadline: "500ms"), in: workspace)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        kill(keyHolder.process.pid, SIGSTOP)
        let refused = try Tool.openssl(edge.port, workspace, "-servername", "www.test")
        #expect(refused.all.contains("alert internal error"), "\(refused.all)")
        kill(keyHolder.process.pid, SIGCONT)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }

    @Test func aNewCertificateReachesClientsWithoutARestartUnderLoad() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        let origin = try await Self.origin(in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let edge = try RunningEdge(
            Self.sites(["www.test"], keyHolder: keyHolder.port, origin: origin.port), in: workspace)
        try Self.waitUntilServed("www.test", by: edge, in: workspace)
        // Another key, even of another type: the edge shows the old chain until it is told that no key holder signs for it.
        try workspace.makeSite("www.test", keyType: .rsa2048)
        try keyHolder.reload(grantedTo: "paris")
        _ = try eventually("the new certificate") {
            // A busy edge: each of these is refused while the chain is the old one, and must not put the refresh off.
            let busy = try Tool.run(
                "sh",
                [
                    "-c",
                    "for i in 1 2 3 4 5 6; do openssl s_client -connect 127.0.0.1:\(edge.port) "
                        + "-servername www.test </dev/null >/dev/null 2>&1 & done; wait",
                ])
            #expect(busy.status == 0)
            let shown = try Tool.openssl(edge.port, workspace, "-servername", "www.test")
            return shown.all.contains("rsaEncryption") || shown.all.contains("RSA-PSS") ? true : nil
        }
        try edge.process.wait(for: "certificate replaced")
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }
}
