import Foundation
import TestSockets
import Testing

/// An edge that starts its successor, gives it its sockets, and ends: real binaries, ordinary clients.
@Suite(.serialized, .timeLimit(.minutes(5))) struct HandOverEndToEndTests {
    /// One edge with a site in each mode: `one.test` keyless, `two.test` handoff, `three.test` relay.
    private final class Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        let edge: RunningEdge
        let origin: TLSOrigin
        private let relayed: TLSOrigin
        /// The process that serves now.
        private(set) var serving: Int32

        init(_ more: String = "", drain: String = "3s") async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            for site in ["one.test", "two.test", "three.test", "origin.test"] { try workspace.makeSite(site) }
            self.origin = try await TLSOrigin(domain: "origin.test", in: workspace) { path in
                .init(body: "from the origin", cacheControl: path == "/" ? nil : "max-age=600")
            }
            self.relayed = try await TLSOrigin(domain: "three.test", text: "from the origin", in: workspace)
            self.keyHolder = try RunningKeyHolder(
                sites: ["one.test", "two.test"], grantedTo: "paris", operations: "keyless, handoff", rate: 100_000,
                in: workspace)
            let origin = "{ url: \"https://127.0.0.1:\(self.origin.port)\", name: origin.test, roots: roots.pem }"
            self.edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"], deadline: 5s }
                limits: { exempt: [127.0.0.0/8] }
                cache: { memory: 16MiB, disk: { path: stored, size: 16MiB } }
                drain: \(drain)
                \(more)
                sites:
                  - { domains: [one.test], mode: keyless, keyholder: home, cache: { status: true }, origin: \(origin) }
                  - { domains: [two.test], mode: handoff, keyholder: home, origin: \(origin) }
                  - { domains: [three.test], mode: relay, origin: { address: "127.0.0.1:\(self.relayed.port)" } }
                """, in: workspace)
            self.serving = self.edge.process.pid
            for site in ["one.test", "two.test"] {
                try self.edge.process.wait(for: "lease begun") { $0["site"] == site }
            }
        }

        /// Has the process that serves hand over, and waits until another one does.
        func handOver() throws {
            let before = self.edge.process.lines("handed over").count
            kill(self.serving, SIGUSR2)
            let former = self.serving
            let line = try eventually("the hand-over") {
                let lines = self.edge.process.lines("handed over")
                return lines.count > before ? lines.last : nil
            }
            self.serving = try #require(line["process"].flatMap { Int32($0) })
            #expect(self.serving != former)
        }

        func change(_ change: (String) -> String) throws {
            try self.workspace.write(change(try self.workspace.read("paris.yaml")), to: "paris.yaml")
        }

        func get(_ url: String, _ arguments: String...) throws -> Tool.Result {
            try Tool.run(
                "curl",
                [
                    "-sS", "--max-time", "10", "--cacert", self.workspace.path("roots.pem"), "--connect-to",
                    "::127.0.0.1:\(self.edge.port)", "-D-", url,
                ] + arguments)
        }

        func stop() async throws {
            self.edge.stop()
            if self.serving != self.edge.process.pid {
                kill(self.serving, SIGTERM)
                let serving = self.serving
                _ = try eventually("the successor's end") { kill(serving, 0) != 0 ? true : nil }
            }
            self.keyHolder.stop()
            try await self.origin.stop()
            try await self.relayed.stop()
        }
    }

    /// Asks again and again with HTTP/2, each time on a new connection.
    private static let http2 = """
        failed=0; asked=0
        while [ ! -e "$3" ]; do
            curl -sS --http2 --max-time 10 --cacert "$1" --connect-to "::127.0.0.1:$2" https://one.test/ -o /dev/null \\
                || failed=$((failed + 1))
            asked=$((asked + 1))
        done
        echo "asked $asked, failed $failed."
        """

    @Test("Under load with new connections all the time, in all modes, with HTTP/1.1 and HTTP/2: none fails")
    func underLoad() async throws {
        // Longer than the load: relayed connections are cut at its end, in the middle of an answer if that is when it comes.
        let stage = try await Stage(drain: "60s")
        let loads = try ["one.test", "two.test", "three.test"].map {
            try SteadyClients($0, port: stage.edge.port, in: stage.workspace)
        }
        let end = stage.workspace.path("enough")
        let http2 = try InteractiveTool(
            "sh", ["-c", Self.http2, "sh", stage.workspace.path("roots.pem"), "\(stage.edge.port)", end],
            in: stage.workspace)
        // From one event loop to two, and back: more loops than sockets, and more sockets than loops.
        for threads in [2, 1, 1] {
            try stage.change {
                $0.replacing(/threads: \d/, with: "threads: \(threads)")
            }
            try await Task.sleep(for: .milliseconds(700))
            try stage.handOver()
        }
        try await Task.sleep(for: .milliseconds(700))
        try stage.workspace.write("", to: "enough")
        for load in loads {
            let result = try load.end()
            #expect(result.contains("failed 0 ") && !result.contains("new 0,"), "\(result)")
        }
        try http2.wait(for: "asked ")
        #expect(http2.text.contains("failed 0.") && !http2.text.contains("asked 0,"), "\(http2.text)")
        // The first process is at its end, and said nothing of an error.
        #expect(try stage.edge.process.waitForExit() == 0)
        #expect(stage.edge.process.log.filter { $0["level"] == "error" }.isEmpty)
        try await stage.stop()
    }

    @Test("The successor has the disk store and the admin port; a purge there reaches what is left of the one before")
    func stored() async throws {
        let stage = try await Stage()
        #expect(try stage.get("https://one.test/kept").all.contains("from the origin"))
        // What keeps the first process from ending.
        let open = try InteractiveTool(
            "openssl",
            [
                "s_client", "-connect", "127.0.0.1:\(stage.edge.port)", "-servername", "three.test", "-CAfile",
                stage.workspace.path("roots.pem"), "-quiet",
            ], in: stage.workspace)
        try open.wait(for: "verify return:1")
        try stage.handOver()
        let answer = try stage.get("https://one.test/kept").all
        #expect(answer.contains("; hit"), "\(answer)")
        #expect(stage.edge.process.isRunning)
        let purge = try Tool.run(
            TestProcess.executable.path,
            ["purge", "--config", stage.workspace.path("paris.yaml"), "https://one.test/kept"])
        #expect(purge.status == 0, "\(purge.all)")
        #expect(try !stage.get("https://one.test/kept").all.contains("; hit"))
        // Its time is 3 seconds, whatever is open.
        #expect(try stage.edge.process.waitForExit() == 0)
        #expect(!stage.edge.process.lines("waiting for connections to end").isEmpty)
        try await stage.stop()
    }

    @Test("If the successor does not start, the process goes on with all that it had, and says why")
    func failure() async throws {
        let stage = try await Stage()
        #expect(try stage.get("https://one.test/kept").all.contains("from the origin"))
        let good = try stage.workspace.read("paris.yaml")
        func refused(_ reason: String, _ number: Int) throws {
            kill(stage.edge.process.pid, SIGUSR2)
            let line = try eventually("the refusal") {
                let lines = stage.edge.process.lines("not handed over; everything stays as it was")
                return lines.count > number ? lines[number] : nil
            }
            #expect(line["reason"]?.contains(reason) == true, "\(line.fields)")
            #expect(try stage.get("https://one.test/kept").all.contains("; hit"))
        }
        try stage.change { $0 + "\nmistake: 1\n" }
        try refused("it ended with status 1", 0)
        // One that has taken the store already, and finds that no key holder answers.
        let free = try Workspace.freePort()
        try stage.workspace.write(
            good.replacingOccurrences(of: "127.0.0.1:\(stage.keyHolder.port)", with: "127.0.0.1:\(free)"),
            to: "paris.yaml")
        try refused("it ended with status 1", 1)
        #expect(stage.edge.process.text.contains("no key holder has answered for one.test, two.test"))
        try stage.workspace.write(good, to: "paris.yaml")
        // The store and the admin port are back.
        let purge = try Tool.run(
            TestProcess.executable.path,
            ["purge", "--config", stage.workspace.path("paris.yaml"), "https://one.test/kept"])
        #expect(purge.status == 0, "\(purge.all)")
        #expect(try !stage.get("https://one.test/kept").all.contains("; hit"))
        try stage.handOver()
        #expect(try stage.get("https://one.test/kept").all.contains("; hit"))
        try await stage.stop()
    }

    @Test("A successor that is never ready is stopped when its time is over")
    func late() async throws {
        let stage = try await Stage()
        let late = stage.workspace.path("late")
        try stage.workspace.write("#!/bin/sh\nexec sleep 60\n", to: "late")
        _ = try Tool.run("chmod", ["+x", late])
        try stage.change { "hand-over: { program: \(late), timeout: 1s }\n" + $0 }
        kill(stage.edge.process.pid, SIGHUP)
        try stage.edge.process.wait(for: "reloaded")
        kill(stage.edge.process.pid, SIGUSR2)
        let line = try stage.edge.process.wait(for: "not handed over; everything stays as it was")
        #expect(line["reason"] == "it was not ready in time, and was stopped", "\(line.fields)")
        #expect(try stage.get("https://one.test/").all.contains("from the origin"))
        try await stage.stop()
    }
}
