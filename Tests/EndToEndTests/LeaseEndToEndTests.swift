import Foundation
import TestSockets
import Testing

/// What an honest edge does when a site's grant is withdrawn, or its key holders are silent for a lease's time: real binaries, an
/// ordinary client that resumes its session.
@Suite(.serialized, .timeLimit(.minutes(5))) struct LeaseEndToEndTests {
    /// An origin, one or two key holders of one name, and one edge with sites in one mode.
    private final class Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        /// The same again, if there are two.
        let second: RunningKeyHolder?
        let edge: RunningEdge
        private let origin: TLSOrigin

        /// - Parameter isOneSite: the sites are domains of one.
        init(
            _ sites: [String], mode: String, lease: String = "10m", hasSecond: Bool = false, isOneSite: Bool = false
        ) async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            for site in sites { try workspace.makeSite(site) }
            try workspace.makeSite("origin.test")
            self.origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
                .init(body: "from the origin", cacheControl: "max-age=600")
            }
            self.keyHolder = try RunningKeyHolder(
                sites: sites, grantedTo: "paris", operations: mode, lease: lease, in: workspace)
            self.second =
                hasSecond
                ? try RunningKeyHolder(
                    sites: sites, grantedTo: "paris", operations: mode, lease: lease, label: "second", in: workspace)
                : nil
            let ports = [self.keyHolder.port] + (self.second.map { [$0.port] } ?? [])
            let addresses = ports.map { "\"127.0.0.1:\($0)\"" }.joined(separator: ", ")
            let originPort = self.origin.port
            let domains = isOneSite ? [sites] : sites.map { [$0] }
            let entries = domains.map { domains in
                """
                  - domains: [\(domains.map { "\"\($0)\"" }.joined(separator: ", "))]
                    mode: \(mode)
                    keyholder: home
                    cache: { status: true }
                    origin: { url: "https://127.0.0.1:\(originPort)", name: origin.test, roots: roots.pem }
                """
            }
            self.edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: [\(addresses)], deadline: 1s }
                cache: { memory: 16MiB }
                sites:
                \(entries.joined(separator: "\n"))
                """, in: workspace)
            for site in sites {
                try self.edge.process.wait(for: "lease begun") { $0["site"] == site }
            }
        }

        /// One request over TLS, by `openssl s_client`.
        func ask(_ name: String, _ arguments: String..., host: String? = nil) throws -> String {
            try Tool.run(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(self.edge.port)", "-CAfile", self.workspace.path("roots.pem"),
                    "-verify_return_error", "-servername", name, "-ign_eof",
                ] + arguments, input: "GET / HTTP/1.1\r\nHost: \(host ?? name)\r\nConnection: close\r\n\r\n"
            ).all
        }

        /// Opens a session and resumes it once, so that it is known to be good.
        func session(_ name: String, _ version: String = "-tls1_3") throws -> String {
            let file = self.workspace.path("session-\(name.dropFirst(name.hasPrefix("*") ? 2 : 0))")
            let first = try self.ask(name, version, "-sess_out", file)
            #expect(first.contains("New, TLSv1") && first.contains("from the origin"), "\(first)")
            let again = try self.ask(name, version, "-sess_in", file, "-sess_out", file)
            #expect(again.contains("Reused, TLSv1") && again.contains("from the origin"), "\(again)")
            return file
        }

        /// That neither a new session nor one that would be resumed comes about.
        func expectNotServed(_ name: String, session: String, _ version: String = "-tls1_3") throws {
            for arguments in [[], ["-sess_in", session]] {
                let answer = try Tool.run(
                    "openssl",
                    [
                        "s_client", "-connect", "127.0.0.1:\(self.edge.port)", "-CAfile",
                        self.workspace.path("roots.pem"), "-servername", name, "-ign_eof", version,
                    ] + arguments, input: "GET / HTTP/1.1\r\nHost: \(name)\r\nConnection: close\r\n\r\n"
                ).all
                #expect(answer.contains("alert internal error"), "\(answer)")
                #expect(!answer.contains("from the origin"))
                #expect(!answer.contains("Reused, TLSv1"))
            }
        }

        func readiness() throws -> String {
            let socket = try TestSocket.connect(port: self.edge.adminPort)
            try socket.send(Array("GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8))
            return String(decoding: try socket.receiveToEnd(), as: UTF8.self)
        }

        func stop() async throws {
            self.edge.stop()
            self.keyHolder.stop()
            self.second?.stop()
            try await self.origin.stop()
        }
    }

    @Test(arguments: ["keyless", "handoff"])
    func aGrantThatIsWithdrawnEndsItsSiteAtOnceResumptionsIncluded(mode: String) async throws {
        let stage = try await Stage(["www.test"], mode: mode)
        let session = try stage.session("www.test")
        #expect(try stage.readiness().hasPrefix("HTTP/1.1 200"))
        try stage.keyHolder.reload(grantedTo: "elsewhere")
        let line = try stage.edge.process.wait(for: "lease ended: the site is not served")
        #expect(line["site"] == "www.test" && line["reason"] == "no-grant")
        try stage.expectNotServed("www.test", session: session)
        // It says so, and why.
        let health = try stage.readiness()
        #expect(health.hasPrefix("HTTP/1.1 503"))
        #expect(health.contains(#""reason":"www.test: "#), "\(health)")
        #expect(health.contains("this edge has no grant at the key holder"), "\(health)")
        #expect(try stage.edge.metric(#"latchstring_edge_lease{domain="www.test"}"#) == 0)
        #expect(
            try stage.edge.metric(#"latchstring_edge_leases_ended_total{domain="www.test",reason="no-grant"}"#) == 1)
        // It comes back seldom, and is refused with few lines. (2,700 times in 106 s, once.)
        try await Task.sleep(for: .seconds(4))
        let refused = stage.keyHolder.audit.count { $0["outcome"] == "refused" }
        #expect((1...4).contains(refused), "\(refused)")
        #expect(stage.edge.process.lines("lease ended: the site is not served").count == 1)
        // The notice came over the link, before the link ended.
        #expect(stage.keyHolder.audit.count { $0["outcome"] == "cut-off" } == 1)
        // A grant given again is found by itself. Sessions from before are of no use; what was stored is.
        try stage.keyHolder.reload(grantedTo: "paris")
        try stage.edge.process.wait(for: "key holder is back")
        _ = try eventually("the site being served again") {
            try stage.ask("www.test").contains("from the origin") ? true : nil
        }
        let later = try stage.ask("www.test", "-tls1_3", "-sess_in", session)
        #expect(later.contains("from the origin") && later.contains("; hit"), "\(later)")
        if mode == "keyless" { #expect(later.contains("New, TLSv1.3"), "\(later)") }
        try await stage.stop()
    }

    @Test(arguments: ["keyless", "handoff"])
    func oneSiteOfSeveralEndsByANoticeAndTheOthersGoOn(mode: String) async throws {
        let stage = try await Stage(["www.test", "shop.test"], mode: mode)
        let (one, two) = (try stage.session("www.test"), try stage.session("shop.test"))
        let start = Date()
        try stage.keyHolder.reload(grantedTo: "paris", sites: ["shop.test"])
        let line = try stage.edge.process.wait(for: "lease ended: the site is not served")
        // Not the next refresh, which comes once a minute.
        #expect(Date().timeIntervalSince(start) < 10)
        #expect(line["site"] == "www.test" && line["reason"] == "refused")
        try stage.expectNotServed("www.test", session: one)
        let other = try stage.ask("shop.test", "-tls1_3", "-sess_in", two)
        #expect(other.contains("Reused, TLSv1.3") && other.contains("from the origin"), "\(other)")
        #expect(try stage.readiness().contains("www.test: the key holder has no such site for this edge"))
        #expect(stage.edge.process.lines("key holder is down").isEmpty)
        try stage.keyHolder.reload(grantedTo: "paris")
        try stage.edge.process.wait(for: "lease begun") {
            $0["site"] == "www.test" && $0["ts"] ?? "" > line["ts"] ?? ""
        }
        _ = try eventually("the site being served again") {
            try stage.ask("www.test").contains("from the origin") ? true : nil
        }
        try await stage.stop()
    }

    /// One of two key holders of a name withdraws its grant: the site goes on with the other, and ends when that withdraws it,
    /// too.
    @Test(arguments: ["keyless", "handoff"])
    func oneOfTwoKeyHoldersWithdrawsItsGrant(mode: String) async throws {
        let stage = try await Stage(["www.test"], mode: mode, hasSecond: true)
        let second = try #require(stage.second)
        func used(_ keyHolder: RunningKeyHolder) -> Int {
            keyHolder.audit.count { $0["outcome"] == "ok" && ["sign-tls13", "handoff"].contains($0["operation"]) }
        }
        #expect(try stage.ask("www.test").contains("from the origin"))
        #expect(used(stage.keyHolder) + used(second) == 1)
        try stage.keyHolder.reload(grantedTo: "elsewhere")
        // The edge has heard it when the link is down, since the notice comes first.
        try stage.edge.process.wait(for: "key holder is down")
        let before = used(stage.keyHolder)
        for _ in 0..<4 { #expect(try stage.ask("www.test").contains("from the origin")) }
        #expect(used(stage.keyHolder) == before)
        #expect(used(second) >= 4)
        #expect(stage.edge.process.lines("lease ended: the site is not served").isEmpty)
        #expect(try stage.readiness().hasPrefix("HTTP/1.1 200"))
        let session = try stage.session("www.test")
        try second.reload(grantedTo: "elsewhere")
        try stage.edge.process.wait(for: "lease ended: the site is not served")
        try stage.expectNotServed("www.test", session: session)
        // The first one grants it again: that is enough.
        try stage.keyHolder.reload(grantedTo: "paris")
        _ = try eventually("the site being served again") {
            try stage.ask("www.test").contains("from the origin") ? true : nil
        }
        try await stage.stop()
    }

    /// A connection of one domain of a site is no way to another one whose lease has ended.
    @Test func anotherDomainOfTheSiteIsNotServedWithoutALeaseOfItsOwn() async throws {
        let stage = try await Stage(["www.test", "shop.test"], mode: "keyless", isOneSite: true)
        #expect(try stage.ask("www.test", host: "shop.test").contains("from the origin"))
        try stage.keyHolder.reload(grantedTo: "paris", sites: ["www.test"])
        try stage.edge.process.wait(for: "lease ended: the site is not served")
        let answer = try stage.ask("www.test", host: "shop.test")
        #expect(answer.contains("HTTP/1.1 421") && !answer.contains("from the origin"), "\(answer)")
        #expect(try stage.ask("www.test").contains("from the origin"))
        try stage.keyHolder.reload(grantedTo: "paris")
        _ = try eventually("the domain being served again") {
            try stage.ask("www.test", host: "shop.test").contains("from the origin") ? true : nil
        }
        try await stage.stop()
    }

    @Test func aWildcardSiteEndsAsAnyOther() async throws {
        let stage = try await Stage(["*.wild.test"], mode: "keyless")
        let session = try stage.session("a.wild.test")
        try stage.keyHolder.reload(grantedTo: "elsewhere")
        try stage.edge.process.wait(for: "lease ended: the site is not served") { $0["site"] == "*.wild.test" }
        try stage.expectNotServed("a.wild.test", session: session)
        try await stage.stop()
    }

    @Test func aLeaseThatIsNotRenewedRunsOut() async throws {
        let stage = try await Stage(["www.test"], mode: "keyless", lease: "4s")
        let session = try stage.session("www.test")
        // Renewed more than once, nothing happens.
        try await Task.sleep(for: .seconds(5))
        #expect(stage.edge.process.lines("lease ended: the site is not served").isEmpty)
        stage.keyHolder.process.kill9()
        // The lease stands, and a session resumes without the key holder.
        let again = try stage.ask("www.test", "-tls1_3", "-sess_in", session, "-sess_out", session)
        #expect(again.contains("Reused, TLSv1.3"), "\(again)")
        let line = try stage.edge.process.wait(for: "lease ended: the site is not served")
        #expect(line["reason"] == "expired")
        try stage.expectNotServed("www.test", session: session)
        let health = try stage.readiness()
        #expect(health.contains(#""reason":"www.test: "#), "\(health)")
        #expect(health.contains("the lease has run out: the key holder home"), "\(health)")
        // The key holder is back: nothing needs a restart.
        let second = try RunningKeyHolder(
            sites: ["www.test"], grantedTo: "paris", port: stage.keyHolder.port, in: stage.workspace)
        _ = try eventually("the site being served again") {
            try stage.ask("www.test").contains("from the origin") ? true : nil
        }
        second.stop()
        try await stage.stop()
    }

    @Test(arguments: ["keyless", "handoff"], ["http/1.1", "h2"])
    func openConnectionsEndAndSayThatTheyWill(mode: String, alpn: String) async throws {
        let stage = try await Stage(["www.test"], mode: mode)
        let client = try InteractiveTool(
            "openssl",
            [
                "s_client", "-connect", "127.0.0.1:\(stage.edge.port)", "-CAfile", stage.workspace.path("roots.pem"),
                "-servername", "www.test", "-tls1_3", "-alpn", alpn,
            ], in: stage.workspace)
        try client.wait(for: "ALPN protocol: \(alpn)")
        if alpn == "http/1.1" {
            try client.send("GET / HTTP/1.1\r\nHost: www.test\r\n\r\n")
            try client.wait(for: "from the origin")
        }
        try stage.keyHolder.reload(grantedTo: "elsewhere")
        // Idle, so it is closed at once; in HTTP/2 behind a GOAWAY.
        try client.wait(for: "closed")
        try await stage.stop()
    }
}
