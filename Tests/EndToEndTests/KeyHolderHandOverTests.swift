import Foundation
import TestSockets
import Testing

/// A key holder that starts its successor, gives it its sockets, and ends: real binaries, ordinary clients.
@Suite("A key holder that is handed over", .serialized, .timeLimit(.minutes(5)))
struct KeyHolderHandOverTests {
    /// One key holder, and an edge with a site in each mode that needs one: `one.test` keyless, `two.test` handoff.
    private final class Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        let edge: RunningEdge
        private let origin: TLSOrigin
        /// The process that is the key holder now.
        private(set) var serving: Int32

        init() async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            for site in ["one.test", "two.test", "origin.test"] { try workspace.makeSite(site) }
            self.origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
            let admin = try Workspace.freePort()
            self.keyHolder = try RunningKeyHolder(
                sites: ["one.test", "two.test"], grantedTo: "paris", operations: "keyless, handoff", rate: 100_000,
                port: try Workspace.freePort(), extra: "state: state\nadmin: 127.0.0.1:\(admin)", in: workspace)
            let origin = "{ url: \"https://127.0.0.1:\(self.origin.port)\", name: origin.test, roots: roots.pem }"
            self.edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"], deadline: 5s }
                limits: { exempt: [127.0.0.0/8] }
                sites:
                  - { domains: [one.test], mode: keyless, keyholder: home, origin: \(origin) }
                  - { domains: [two.test], mode: handoff, keyholder: home, origin: \(origin) }
                """, in: workspace)
            self.serving = self.keyHolder.process.pid
            for site in ["one.test", "two.test"] {
                try self.edge.process.wait(for: "lease begun") { $0["site"] == site }
            }
        }

        func handOver() throws {
            let former = self.serving
            let before = self.keyHolder.process.lines("handed over").count
            kill(former, SIGUSR2)
            let line = try eventually("the hand-over") {
                let lines = self.keyHolder.process.lines("handed over")
                return lines.count > before ? lines.last : nil
            }
            self.serving = try #require(line["process"].flatMap { Int32($0) })
            #expect(self.serving != former)
        }

        /// The reason for the hand-over that is refused next.
        func refusal() throws -> String? {
            let before = self.keyHolder.process.lines("not handed over; everything stays as it was").count
            kill(self.serving, SIGUSR2)
            return try eventually("the refusal") {
                let lines = self.keyHolder.process.lines("not handed over; everything stays as it was")
                return lines.count > before ? lines.last : nil
            }["reason"]
        }

        /// What `audit verify` says of the whole audit, which all processes wrote after one another.
        func verified() throws -> String {
            let program = TestProcess.executable.path
            let key = try Tool.run(program, ["audit", "key", "--config", self.workspace.path("home.yaml")])
            #expect(key.status == 0, "\(key.all)")
            let result = try Tool.run(
                program,
                [
                    "audit", "verify", "--key", key.output.trimmingCharacters(in: .whitespacesAndNewlines),
                    self.workspace.path("audit.jsonl"),
                ])
            #expect(result.status == 0, "\(result.all)")
            return result.all
        }

        func revoke(_ words: String...) throws -> Tool.Result {
            try Tool.run(TestProcess.executable.path, ["revoke", "--config", workspace.path("home.yaml")] + words)
        }

        func isServed(_ site: String) throws -> Bool {
            try Tool.curl("https://\(site)/", to: self.edge.port, self.workspace).status == 0
        }

        func stop() async throws {
            self.edge.stop()
            if self.serving != self.keyHolder.process.pid {
                kill(self.serving, SIGTERM)
                let serving = self.serving
                _ = try eventually("the successor's end") { kill(serving, 0) != 0 ? true : nil }
            }
            self.keyHolder.stop()
            try await self.origin.stop()
        }
    }

    /// Asks again and again on a new connection each time, in TLS 1.2: two turns at the key holder.
    private static let tls12 = """
        failed=0; asked=0
        while [ ! -e "$3" ]; do
            curl -sS --tls-max 1.2 --max-time 10 --cacert "$1" --connect-to "::127.0.0.1:$2" https://two.test/ -o /dev/null \\
                || failed=$((failed + 1))
            asked=$((asked + 1))
        done
        echo "asked $asked, failed $failed."
        """

    @Test(
        "Under new connections all the time, in both modes and versions: none fails, and no audit line is lost or broken"
    )
    func underLoad() async throws {
        let stage = try await Stage()
        let loads = try ["one.test", "two.test"].map {
            try SteadyClients($0, port: stage.edge.port, in: stage.workspace)
        }
        let end = stage.workspace.path("enough")
        let tls12 = try InteractiveTool(
            "sh", ["-c", Self.tls12, "sh", stage.workspace.path("roots.pem"), "\(stage.edge.port)", end],
            in: stage.workspace)
        for _ in 0..<3 {
            try await Task.sleep(for: .milliseconds(700))
            try stage.handOver()
        }
        try await Task.sleep(for: .milliseconds(700))
        try stage.workspace.write("", to: "enough")
        var connections = 0
        for load in loads {
            let result = try load.end()
            #expect(result.contains("failed 0 ") && !result.contains("new 0,"), "\(result)")
            connections += result.firstMatch(of: /new (\d+)/).flatMap { Int($0.1) } ?? 0
        }
        try tls12.wait(for: "asked ")
        #expect(tls12.text.contains("failed 0.") && !tls12.text.contains("asked 0,"), "\(tls12.text)")
        #expect(try stage.keyHolder.process.waitForExit() == 0)
        #expect(stage.keyHolder.process.log.filter { $0["level"] == "error" }.isEmpty)
        // Each session and each signature has its line; the log was never closed.
        let text = try stage.workspace.read("audit.jsonl").split(separator: "\n")
        #expect(stage.keyHolder.audit.count == text.count)
        #expect(stage.keyHolder.audit.filter { $0["outcome"] == "ok" }.count >= connections)
        #expect(stage.keyHolder.audit.filter { $0["operation"] == "audit" }.isEmpty)
        try await stage.stop()
        #expect(try stage.verified().contains("Nothing is wrong with the chain."))
    }

    @Test("The successor has the state folder and the admin port: a revocation there counts, and one from before, too")
    func state() async throws {
        let stage = try await Stage()
        #expect(try stage.revoke("rome").status == 0)
        try stage.handOver()
        #expect(try stage.revoke("rome").output == "rome was revoked before.\n")
        #expect(try stage.isServed("one.test"))
        #expect(try stage.revoke("paris").status == 0)
        _ = try eventually("the end of the site at the edge") { try stage.isServed("one.test") ? nil : true }
        #expect(try stage.workspace.read("state/revoked-edges") == "paris\nrome\n")
        #expect(try stage.keyHolder.process.waitForExit() == 0)
        try await stage.stop()
    }

    @Test("If the successor fails, before or after it was let have the audit file, the process goes on")
    func failure() async throws {
        let stage = try await Stage()
        let good = try stage.workspace.read("home.yaml")
        func isWell() throws {
            _ = try eventually("both sites being served") {
                try stage.isServed("one.test") && stage.isServed("two.test") ? true : nil
            }
        }
        try stage.workspace.write(good + "mistake: 1\n", to: "home.yaml")
        #expect(try stage.refusal() == "it ended with status 1")
        try isWell()
        // It has the audit file by then.
        let taken = try TestListener()
        try stage.workspace.write(
            good.replacingOccurrences(
                of: "listen: 127.0.0.1:\(stage.keyHolder.port)", with: "listen: 127.0.0.1:\(taken.port)"),
            to: "home.yaml")
        #expect(try stage.refusal() == "it ended with status 1")
        #expect(stage.keyHolder.process.text.contains("listens on 127.0.0.1:\(taken.port)"))
        try isWell()
        try stage.workspace.write(good, to: "home.yaml")
        #expect(try stage.revoke("rome").status == 0)
        kill(stage.serving, SIGHUP)
        try stage.keyHolder.process.wait(for: "reloaded")
        try stage.handOver()
        try isWell()
        try await stage.stop()
        #expect(try stage.verified().contains("Nothing is wrong with the chain."))
    }
}
