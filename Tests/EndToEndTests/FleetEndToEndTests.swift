import Foundation
import PrivateAuthority
import TestBus
import TestSockets
import Testing

/// A fleet with the real binaries: purges, lists, crashes.
@Suite(.serialized, .timeLimit(.minutes(4))) struct FleetEndToEndTests {
    private struct PurgeAnswer: Decodable {
        struct Edge: Decodable {
            var name: String
            var state: String
            var answer: String
        }

        var success: Bool
        var edges: [Edge]
    }

    @Test("One command purges every edge, another lists them; the admin port does it too; who lost its grant is shown")
    func purgeAndList() async throws {
        let stage = try await FleetStage(edges: ["paris", "lyon"])
        try await blocking {
            let second = try stage.run("fleet", "key", "--out", stage.workspace.path("lyon.key"))
            let key = try #require(second.output.firstRange(of: "key: ")).upperBound
            let signer =
                "signers: [{ name: ops, key: \"\(stage.publicKey)\", may: everything }, "
                + "{ name: lyon, key: \"\(second.output[key...].prefix(64))\", may: { hosts: [www.test] } }]"
            func edge(_ name: String, _ extra: String = "") throws -> RunningEdge {
                try stage.edge(name, extra: extra, signers: signer)
            }
            let paris = try edge("paris")
            let lyon = try edge("lyon", "signing-key: lyon.key")
            for one in [paris, lyon] {
                try stage.served(one)
                #expect(try stage.fetch("/a", one) == "/a 1")
            }
            _ = stage.raise()
            for one in [paris, lyon] { #expect(try stage.fetch("/a", one) == "/a 1") }
            let purged = try stage.run("purge", "--fleet", "FLEET", "https://www.test/a")
            #expect(purged.status == 0, "\(purged.all)")
            #expect(purged.output.contains("2 of 2 edges have acknowledged"), "\(purged.all)")
            for one in [paris, lyon] { #expect(try stage.fetch("/a", one) == "/a 2") }

            // On a terminal each edge has a line that changes.
            let file = stage.workspace.path("fleet.yaml")
            let shown = try Tool.run(
                "script",
                ["-qec", "\(TestProcess.executable.path) purge --fleet \(file) --tag none", "/dev/null"])
            #expect(shown.status == 0 && shown.output.contains("\u{1B}[K  paris  …"), "\(shown.all)")
            #expect(shown.output.contains("paris  done after"), "\(shown.all)")

            // Through an edge's admin port, with that edge's own key and rights.
            _ = stage.raise()
            let body = "{\"urls\":[\"https://www.test/a\"],\"fleet\":true}"
            func order(_ port: UInt16, _ body: String) throws -> String {
                try Tool.run(
                    "curl",
                    ["-sS", "-H", "Content-Type: application/json", "-d", body, "http://127.0.0.1:\(port)/cache/purge"]
                ).output
            }
            let answer = try JSONDecoder().decode(PurgeAnswer.self, from: Data(try order(lyon.adminPort, body).utf8))
            #expect(answer.success && answer.edges.map(\.answer) == ["done", "done"])
            for one in [paris, lyon] { #expect(try stage.fetch("/a", one) == "/a 3") }
            #expect(try order(paris.adminPort, body).contains("orders no purges of a fleet"))
            let tooMuch = try order(lyon.adminPort, "{\"everything\":true,\"fleet\":true}")
            #expect(tooMuch.contains("its signer may not purge that"), "\(tooMuch)")

            // What an edge said at its start may have come before its link.
            let list = try eventually("a list with both links") {
                let list = try stage.run("fleet", "--config", "FLEET")
                return list.output.components(separatedBy: "1 of 1").count == 3 ? list : nil
            }
            #expect(list.status == 0, "\(list.all)")
            #expect(list.output.contains("paris  alive"), "\(list.all)")
            let json = try stage.run("fleet", "--config", "FLEET", "--json")
            #expect(json.output.contains("\"mode\":\"keyless\",\"name\":\"www.test\""), "\(json.all)")
            // What edges say that they are is what the command says of itself.
            let version = try stage.run("--version").output
            #expect(version.hasPrefix("latchstring "), "\(version)")
            // The commit may follow.
            let number = try #require(version.split(whereSeparator: \.isWhitespace).dropFirst().first)
            #expect(json.output.components(separatedBy: "\"version\":\"\(number)\"").count == 3, "\(json.all)")
            let live = try TestProcess(
                ["fleet", "--config", stage.workspace.path("fleet.yaml"), "--watch", "--json"], name: "live",
                in: stage.workspace)
            _ = try eventually("a second line of JSON") {
                live.text.components(separatedBy: "{\"edges\":[").count > 2 ? true : nil
            }
            live.stop()
            // It ends when its reader has gone.
            let program = TestProcess.executable.path
            let start = ContinuousClock.now
            let piped = try Tool.run(
                "sh",
                [
                    "-c",
                    "timeout 20 \(program) fleet --config \(stage.workspace.path("fleet.yaml")) --watch | head -n 1",
                ])
            #expect(ContinuousClock.now - start < .seconds(15))
            #expect(piped.output.hasPrefix("fleet test on "), "\(piped.all)")
            try stage.keyHolder.reload(grantedTo: "paris")
            _ = try eventually("lyon's being shown as revoked") {
                try stage.run("fleet", "--config", "FLEET").output.contains("lyon   revoked") ? true : nil
            }
            for one in [paris, lyon] {
                #expect(try one.metric("latchstring_fleet_bus_up") == 1)
                one.stop()
            }
        }
        try await stage.stop()
    }

    @Test("Edges and bus are killed in between: what an edge acknowledged it never serves again, restarts included")
    func killed() async throws {
        let stage = try await FleetStage(edges: ["paris", "lyon"])
        try await blocking {
            var edges = ["paris": try stage.edge("paris"), "lyon": try stage.edge("lyon")]
            // The version that each edge must have at least, by path.
            var promised: [String: [String: Int]] = ["paris": [:], "lyon": [:]]
            for edge in edges.values { try stage.served(edge) }
            func check(_ name: String) throws {
                guard let edge = edges[name] else { return }
                for path in ["/a", "/b", "/c"] {
                    let answer = try stage.fetch(path, edge)
                    let version = Int(answer.dropFirst(path.count + 1)) ?? 0
                    #expect(version >= promised[name]?[path] ?? 1, "\(name) served \(answer)")
                }
            }
            for round in 0..<4 {
                for name in edges.keys { try check(name) }
                let path = ["/a", "/b", "/c"][round % 3]
                let version = stage.raise()
                if round == 1 { edges["lyon"]?.kill() }
                if round == 2 {
                    stage.server.kill()
                    try stage.server.restart()
                }
                let result = try stage.run(
                    "purge", "--fleet", "FLEET", "--json", "--timeout", "6", "https://www.test\(path)")
                let answer = try JSONDecoder().decode(PurgeAnswer.self, from: Data(result.output.utf8))
                for edge in answer.edges where edge.answer == "done" { promised[edge.name]?[path] = version }
                #expect(answer.edges.first { $0.name == "paris" }?.answer == "done", "\(result.all)")
                if round == 1 {
                    #expect(answer.edges.first { $0.name == "lyon" }?.answer == "silent", "\(result.all)")
                    #expect(result.status == 1)
                    let again = try stage.edge("lyon")
                    edges["lyon"] = again
                    try stage.served(again)
                    // It had stored it, was away when it was purged, and does not serve it.
                    promised["lyon"]?[path] = version
                }
                for name in edges.keys { try check(name) }
            }
            for (name, edge) in edges {
                edge.kill()
                let again = try stage.edge(name)
                edges[name] = again
                try stage.served(again)
                try check(name)
                again.stop()
            }
        }
        try await stage.stop()
    }

    @Test("Without a bus an edge starts, serves, and says that it is degraded")
    func withoutBus() async throws {
        let stage = try await FleetStage(edges: ["paris"])
        try await blocking {
            stage.server.kill()
            let edge = try stage.edge("paris")
            try stage.served(edge)
            #expect(try stage.fetch("/a", edge) == "/a 1")
            let health = try Tool.run("curl", ["-sS", "-i", "http://127.0.0.1:\(edge.adminPort)/health/ready"])
            #expect(health.output.hasPrefix("HTTP/1.1 200"), "\(health.all)")
            #expect(health.output.contains("\"fleet\":{\"status\":\"degraded\""), "\(health.all)")
            let purge = try stage.run("purge", "--fleet", "FLEET", "--timeout", "1", "https://www.test/a")
            #expect(purge.status == 1 && purge.errors.contains("Connection refused"), "\(purge.all)")
            #expect(edge.process.lines("the fleet's bus is not there: this edge serves on").count == 1)
            edge.stop()
        }
        try await stage.stop()
    }

    @Test("Wrong command lines and files are told what to do")
    func mistakes() async throws {
        let workspace = try Workspace()
        try await blocking {
            func run(_ words: String...) throws -> Tool.Result {
                try Tool.run(
                    TestProcess.executable.path,
                    words.map { $0.hasPrefix("@") ? workspace.path(String($0.dropFirst())) : $0 })
            }
            #expect(try run("purge", "--fleet", "x.yaml").status == 2)
            #expect(try run("purge", "--fleet", "x.yaml", "--config", "y.yaml", "--everything").status == 2)
            #expect(try run("fleet", "key", "--out", "@k.key").status == 0)
            let again = try run("fleet", "key", "--out", "@k.key")
            #expect(again.status == 1 && again.errors.contains("is there already"), "\(again.all)")
            #expect(try run("fleet", "key", "--show", "--out", "@k.key").output.contains("may: everything"))
            try workspace.write(
                "role: fleet\nauthority: authority.pem\nfleet: {name: x, redis: [\"redis://127.0.0.1:1\"]}\n",
                to: "f.yaml")
            let none = try run("purge", "--fleet", "@f.yaml", "--everything")
            #expect(none.status == 1 && none.errors.contains("has no signing-key"), "\(none.all)")
            let list = try run("fleet", "--config", "@f.yaml")
            #expect(list.status == 1 && list.errors.contains("can't be used"), "\(list.all)")
            // The same is found out before.
            try workspace.makeIdentity(.edge, "paris")
            let check = try run("check", "--config", "@f.yaml")
            #expect(check.status == 1 && check.output.contains("f.yaml:3:"), "\(check.all)")
            #expect(check.output.contains("Connection refused. Is it up"), "\(check.all)")
            #expect(try run("check", "--offline", "--config", "@f.yaml").status == 0)
            // A key that others can read is not used.
            let key = workspace.path("k.key")
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: key)
            try workspace.write(
                "role: fleet\nauthority: authority.pem\nfleet: {name: x, redis: [\"redis://127.0.0.1:1\"], signing-key: k.key}\n",
                to: "g.yaml")
            let open = try run("purge", "--fleet", "@g.yaml", "--everything")
            #expect(open.status == 1 && open.errors.contains("chmod 600"), "\(open.all)")
        }
    }
}
