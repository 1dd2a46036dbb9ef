import Foundation
import PrivateAuthority
import Telemetry
import TestSockets
import Testing

/// The files under Monitoring, against real processes and a real Prometheus; and the page for people in a real browser.
@Suite(.serialized, .timeLimit(.minutes(5))) struct MonitoringTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Monitoring")
    private static let token = "correct-horse-battery-staple"

    private final class Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        let keyHolderAdmin: UInt16
        /// The ports for monitoring from elsewhere: the edge's, the key holder's.
        let monitoring: [UInt16]
        let edge: RunningEdge
        let origin: TLSOrigin

        init() async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            for site in ["one.test", "origin.test"] { try workspace.makeSite(site) }
            try workspace.write(MonitoringTests.token + "\n", to: "admin.token")
            _ = try Tool.run("chmod", ["600", workspace.path("admin.token")])
            self.origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
                .init(body: "from the origin", cacheControl: "max-age=600")
            }
            self.keyHolderAdmin = try Workspace.freePort()
            self.monitoring = [try Workspace.freePort(), try Workspace.freePort()]
            try Self.makeIdentity("monitor", "subjectAltName=DNS:monitor.test", in: workspace)
            try Self.makeIdentity("prometheus", "subjectAltName=DNS:prometheus.test", in: workspace)
            func monitoring(_ port: UInt16) -> String {
                "monitoring: { listen: 127.0.0.1:\(port), certificate: monitor.pem, key: monitor.key, clients: prometheus.pem }"
            }
            self.keyHolder = try RunningKeyHolder(
                sites: ["one.test"], grantedTo: "paris", operations: "handoff", rate: 10_000,
                extra: "admin: { listen: 127.0.0.1:\(self.keyHolderAdmin), token: admin.token }\n"
                    + monitoring(self.monitoring[1]), in: workspace)
            self.edge = try RunningEdge(
                """
                access-log: access.log
                \(monitoring(self.monitoring[0]))
                keyholders:
                  home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"], deadline: 2s }
                cache: { memory: 16MiB }
                sites:
                  - domains: [one.test]
                    mode: handoff
                    keyholder: home
                    origin: { url: "https://127.0.0.1:\(self.origin.port)", name: origin.test, roots: roots.pem }
                  - domains: [origin.test]
                    mode: relay
                    origin: { address: "127.0.0.1:\(self.origin.port)" }
                """, in: workspace)
            try self.edge.process.wait(for: "lease begun") { $0["site"] == "one.test" }
        }

        /// A certificate of no authority but its own, as docs/operations.md makes it.
        private static func makeIdentity(_ name: String, _ names: String, in workspace: Workspace) throws {
            let made = try Tool.run(
                "openssl",
                [
                    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj",
                    "/CN=\(name)", "-addext", names, "-keyout", workspace.path("\(name).key"), "-out",
                    workspace.path("\(name).pem"),
                ])
            #expect(made.status == 0, "\(made.all)")
            _ = try Tool.run("chmod", ["600", workspace.path("\(name).key")])
        }

        /// `curl` to a port for monitoring, as `monitor.test`.
        func look(_ port: UInt16, _ path: String, _ arguments: String..., as identity: String? = "prometheus") throws
            -> Tool.Result
        {
            let shown = identity.map {
                ["--cert", self.workspace.path("\($0).pem"), "--key", self.workspace.path("\($0).key")]
            }
            return try Tool.run(
                "curl",
                [
                    "-sS", "--max-time", "10", "--cacert", self.workspace.path("monitor.pem"), "--connect-to",
                    "::127.0.0.1:\(port)", "https://monitor.test\(path)",
                ] + (shown ?? []) + arguments)
        }

        func visit() throws {
            for url in ["https://one.test/", "https://one.test/", "https://origin.test/"] {
                let fetched = try Tool.curl(
                    url, to: self.edge.port, self.workspace, "-A", "<script>alert('agent')</script>")
                #expect(fetched.output == "from the origin", "\(fetched.all)")
            }
        }

        func stop() async throws {
            self.edge.stop()
            self.keyHolder.stop()
            try await self.origin.stop()
        }
    }

    /// Panels of a dashboard, and the expressions of the rules.
    private static func expressions() throws -> [(text: String, isPanel: Bool)] {
        var all: [(String, Bool)] = []
        for name in ["edge-dashboard.json", "keyholder-dashboard.json"] {
            let data = try Data(contentsOf: Self.folder.appendingPathComponent(name))
            let board = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
            for panel in try #require(board["panels"] as? [[String: Any]]) {
                for target in try #require(panel["targets"] as? [[String: Any]]) {
                    all.append((try #require(target["expr"] as? String), true))
                }
            }
        }
        return all
    }

    private static func names(in expression: String) -> Set<String> {
        let words = expression.split { !($0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")) }.map(String.init)
        return Set(words.filter { $0.hasPrefix("latchstring_") || $0.hasPrefix("process_") })
    }

    private static func family(_ name: String) -> String {
        for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
            return String(name.dropLast(suffix.count))
        }
        return name
    }

    @Test("Each name in a rule or a dashboard is a metric's")
    func names() throws {
        var texts = try Self.expressions().map(\.text)
        texts.append(
            try String(contentsOf: Self.folder.appendingPathComponent("alerts.yml"), encoding: .utf8)
                .split(separator: "\n").filter { !$0.contains("summary:") && !$0.contains("description:") }
                .joined(separator: "\n"))
        let names = texts.reduce(into: Set<String>()) { $0.formUnion(Self.names(in: $1)) }
        #expect(names.count > 30)
        for name in names { #expect(MetricHelp.lines[Self.family(name)] != nil, "\(name)") }
    }

    @Test("promtool takes the rules, and they fire when they should", .enabled(if: Tool.exists("promtool")))
    func rules() throws {
        let check = try Tool.run("promtool", ["check", "rules", Self.folder.appendingPathComponent("alerts.yml").path])
        #expect(check.status == 0 && check.all.contains("SUCCESS"), "\(check.all)")
        let test = try Tool.run(
            "promtool", ["test", "rules", Self.folder.appendingPathComponent("alerts-test.yml").path])
        #expect(test.status == 0, "\(test.all)")
        let configuration = try Tool.run(
            "promtool",
            ["check", "config", "--syntax-only", Self.folder.appendingPathComponent("prometheus.yml").path])
        #expect(configuration.status == 0, "\(configuration.all)")
    }

    @Test("Prometheus scrapes both, and evaluates every expression", .enabled(if: Tool.exists("prometheus")))
    func scrape() async throws {
        let stage = try await Stage()
        // The text format, as promtool's linter has it.
        try stage.visit()
        let port = try Workspace.freePort()
        try stage.workspace.write(
            """
            global: { scrape_interval: 1s, evaluation_interval: 1s }
            rule_files: ["\(Self.folder.appendingPathComponent("alerts.yml").path)"]
            scrape_configs:
              - job_name: latchstring
                authorization: { credentials_file: "\(stage.workspace.path("admin.token"))" }
                static_configs:
                  - targets: ["127.0.0.1:\(stage.edge.adminPort)", "127.0.0.1:\(stage.keyHolderAdmin)"]
              - job_name: from-elsewhere
                scheme: https
                tls_config:
                  ca_file: "\(stage.workspace.path("monitor.pem"))"
                  cert_file: "\(stage.workspace.path("prometheus.pem"))"
                  key_file: "\(stage.workspace.path("prometheus.key"))"
                  server_name: monitor.test
                static_configs:
                  - targets: ["127.0.0.1:\(stage.monitoring[0])", "127.0.0.1:\(stage.monitoring[1])"]
            """, to: "prometheus.yml")
        let prometheus = try InteractiveTool(
            "prometheus",
            [
                "--config.file=\(stage.workspace.path("prometheus.yml"))",
                "--storage.tsdb.path=\(stage.workspace.path("data"))", "--web.listen-address=127.0.0.1:\(port)",
            ], in: stage.workspace)
        func query(_ expression: String) throws -> [[String: Any]]? {
            let answer = try Tool.run(
                "curl",
                [
                    "-sS", "-G", "--max-time", "10", "http://127.0.0.1:\(port)/api/v1/query", "--data-urlencode",
                    "query=\(expression)",
                ])
            guard
                let object = try? JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any],
                object["status"] as? String == "success", let data = object["data"] as? [String: Any]
            else { return nil }
            return data["result"] as? [[String: Any]]
        }
        func scrapes() throws -> String? {
            let found = try query("sum(count_over_time(up{job=\"latchstring\"}[1m]) >= bool 4)")?.first
            return (found?["value"] as? [Any])?.last as? String
        }
        _ = try eventually("some scrapes of both") { try scrapes() == "2" ? true : nil }
        try stage.visit()
        _ = try eventually("both from elsewhere") { try query("up == 1")?.count == 4 ? true : nil }
        let scraped = Set(
            try #require(try query("{__name__=~\"(latchstring|process)_.+\"}")).compactMap {
                ($0["metric"] as? [String: String])?["__name__"]
            })
        for (expression, _) in try Self.expressions() {
            let text = expression.replacingOccurrences(of: "$__rate_interval", with: "30s")
                .replacingOccurrences(of: "$instance", with: ".*")
            let result = try query(text)
            #expect(result != nil, "\(text)")
            // What has not happened yet has no series.
            if Self.names(in: text).isSubset(of: scraped) { #expect(result?.isEmpty == false, "\(text)") }
        }
        let missing = try Self.expressions().flatMap { Self.names(in: $0.text) }.filter { !scraped.contains($0) }
        #expect(Set(missing).count < 12, "\(Set(missing).sorted())")
        // No rule fails when it is evaluated, and none fires: all is well.
        let failures = try query("sum(prometheus_rule_evaluation_failures_total) or vector(0)")
        #expect(failures != nil)
        #expect(try query("ALERTS{alertstate=\"firing\"}")?.isEmpty == true)
        _ = prometheus
        try await stage.stop()
    }

    @Test("From elsewhere: a certificate of the authority looks, no other does, and nothing is changed")
    func mutualTLS() async throws {
        let stage = try await Stage()
        for (port, metric) in zip(stage.monitoring, ["latchstring_edge_lease", "latchstring_keyholder_connections"]) {
            let metrics = try stage.look(port, "/metrics")
            #expect(metrics.output.contains("\n\(metric)"), "\(metrics.all.prefix(300))")
            #expect(try stage.look(port, "/health/ready").output.contains("\"status\""))
            #expect(try stage.look(port, "/").output.contains("<!doctype html>"))
            for identity in [nil, "monitor"] {
                let refused = try stage.look(port, "/metrics", as: identity)
                #expect(refused.status != 0 && refused.output.isEmpty, "\(identity ?? "none"): \(refused.all)")
            }
            for path in ["/reload", "/revoke?edge=paris", "/purge", "/metrics"] {
                let refused = try stage.look(
                    port, path, "-X", "POST", "-H", "Content-Type: application/json", "-d", "{}")
                #expect(refused.output == "This port is for looking. Use the admin port.\n", "\(refused.all)")
            }
            #expect(try stage.look(port, "/revoke").output.hasPrefix("Here are /"))
        }
        #expect(try stage.look(stage.monitoring[0], "/health/sites").output.contains("one.test"))
        // Plain HTTP gets nothing.
        let plain = try Tool.run(
            "curl", ["-sS", "--max-time", "5", "http://127.0.0.1:\(stage.monitoring[0])/metrics"])
        #expect(plain.status != 0 && plain.output.isEmpty, "\(plain.all)")
        // Files are read again by themselves: another client, and not the former one.
        try Self.replace("prometheus.pem", with: "monitor.pem", in: stage.workspace)
        try stage.edge.process.wait(for: "the identity's files have changed: they are in force") {
            $0["setting"] == "monitoring"
        }
        #expect(try stage.look(stage.monitoring[0], "/metrics", as: "monitor").status == 0)
        try await stage.stop()
    }

    @Test(
        "From elsewhere: sessions resume until the files change, or the client's certificate ends",
        arguments: ["-tls1_3", "-tls1_2"])
    func resumption(_ version: String) async throws {
        let stage = try await Stage()
        let workspace = stage.workspace
        let authority = try FleetAuthority(name: "Monitoring")
        try workspace.write(
            try workspace.read("prometheus.pem") + "\n" + authority.certificatePEM, to: "prometheus.pem")
        func wasRead(_ times: Int) throws {
            _ = try eventually("the files") {
                let lines = stage.edge.process.lines("the identity's files have changed: they are in force")
                return lines.count { $0["setting"] == "monitoring" } == times ? true : nil
            }
        }
        try wasRead(1)
        // A client that is let in for seconds.
        let ends = Date().addingTimeInterval(6)
        let brief = try authority.issueIdentity(role: .edge, name: "brief", notBefore: ends - 600, notAfter: ends)
        try workspace.write(brief.chainPEM, to: "brief.pem")
        try workspace.write(brief.keyPEM, to: "brief.key")
        func look(_ client: String, _ session: String...) throws -> String {
            try Tool.run(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(stage.monitoring[0])", "-CAfile",
                    workspace.path("monitor.pem"),
                    "-servername", "monitor.test", "-cert", workspace.path("\(client).pem"), "-key",
                    workspace.path("\(client).key"), "-ign_eof", version,
                ] + session,
                input: "GET /health/live HTTP/1.1\r\nHost: monitor.test\r\nConnection: close\r\n\r\n"
            ).all
        }
        let file = workspace.path("session")
        let first = try look("brief", "-sess_out", file)
        #expect(first.contains("HTTP/1.1 200") && first.contains("New, "), "\(first)")
        let again = try look("brief", "-sess_in", file)
        #expect(again.contains("HTTP/1.1 200") && again.contains("Reused, "), "\(again)")
        try await Task.sleep(for: .seconds(max(0, ends.timeIntervalSinceNow) + 1.5))
        let late = try look("brief", "-sess_in", file)
        #expect(!late.contains("HTTP/1.1 200"), "\(late)")
        // Another authority, another context: no session of the former is good.
        let good = try look("prometheus", "-sess_out", file)
        #expect(good.contains("HTTP/1.1 200"), "\(good)")
        try Self.replace("prometheus.pem", with: "monitor.pem", in: workspace)
        try wasRead(2)
        let former = try look("prometheus", "-sess_in", file)
        #expect(!former.contains("HTTP/1.1 200"), "\(former)")
        try await stage.stop()
    }

    private static func replace(_ name: String, with other: String, in workspace: Workspace) throws {
        try workspace.write(try workspace.read(other), to: "\(name).new")
        try FileManager.default.removeItem(atPath: workspace.path(name))
        try FileManager.default.moveItem(atPath: workspace.path("\(name).new"), toPath: workspace.path(name))
    }

    @Test("The page in a browser, with what hostile clients send", .enabled(if: Tool.exists("chromium")))
    func page() async throws {
        let stage = try await Stage()
        try stage.visit()
        _ = try Tool.openssl(
            stage.edge.port, stage.workspace, "-servername", "<script>alert('name')</script>.test")
        func browse(_ url: String, _ arguments: String...) throws -> Tool.Result {
            try Tool.run(
                "timeout",
                [
                    "90", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                    "--user-data-dir=\(stage.workspace.path("profile-\(UUID().uuidString)"))",
                    "--window-size=1100,1500",
                ] + arguments + [url])
        }
        let edge = "http://127.0.0.1:\(stage.edge.adminPort)/"
        let shown = try browse(edge, "--dump-dom").output
        for text in ["one.test", "Key holders", "ready", "<td>home</td>"] { #expect(shown.contains(text), "\(shown)") }
        #expect(!shown.contains("<script"))
        let picture = stage.workspace.path("edge.png")
        _ = try browse(edge, "--screenshot=\(picture)")
        #expect(((try? Data(contentsOf: URL(fileURLWithPath: picture)))?.count ?? 0) > 10_000)
        // With a token: the browser's own question for a password.
        let keyHolder = "127.0.0.1:\(stage.keyHolderAdmin)/"
        let refused = try browse("http://\(keyHolder)", "--dump-dom").output
        #expect(!refused.contains("one.test"))
        let admitted = try browse("http://admin:\(Self.token)@\(keyHolder)", "--dump-dom").output
        #expect(admitted.contains("<td>one.test</td>"), "\(admitted)")
        if let folder = ProcessInfo.processInfo.environment["LATCHSTRING_SCREENSHOTS"] {
            try Data(contentsOf: URL(fileURLWithPath: picture)).write(to: URL(fileURLWithPath: folder + "/edge.png"))
            _ = try browse("http://admin:\(Self.token)@\(keyHolder)", "--screenshot=\(folder)/keyholder.png")
        }
        try await stage.stop()
    }
}
