import Foundation
import TestSockets
import Testing

/// The access log of a real edge.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AccessLogEndToEndTests {
    private final class Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        let edge: RunningEdge
        let origin: TLSOrigin

        /// One site in handoff mode, one that is relayed.
        init(_ accessLog: String) async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            for site in ["one.test", "two.test", "origin.test"] { try workspace.makeSite(site) }
            self.origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
                .init(body: "from the origin", cacheControl: "max-age=600")
            }
            self.keyHolder = try RunningKeyHolder(
                sites: ["one.test"], grantedTo: "paris", operations: "handoff", rate: 10_000, in: workspace)
            self.edge = try RunningEdge(
                """
                access-log: \(accessLog)
                keyholders:
                  home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"], deadline: 2s }
                cache: { memory: 16MiB }
                limits: { exempt: [127.0.0.0/8] }
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

        func reload() throws {
            let result = try Tool.run(
                TestProcess.executable.path, ["reload", "--config", self.workspace.path("paris.yaml")])
            #expect(result.status == 0, "\(result.all)")
        }

        func lines(_ name: String) throws -> [[String: Any]] {
            try self.workspace.read(name).split(separator: "\n").map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
            }
        }

        func stop() async throws {
            self.edge.stop()
            self.keyHolder.stop()
            try await self.origin.stop()
        }
    }

    @Test("An hour's rotation, many times in seconds: each request has one line, in one file")
    func rotation() async throws {
        let stage = try await Stage("access.log")
        let clients = try SteadyClients("one.test", port: stage.edge.port, in: stage.workspace)
        let rotations = 8
        for rotation in 1...rotations {
            try await Task.sleep(for: .milliseconds(150))
            try FileManager.default.moveItem(
                atPath: stage.workspace.path("access.log"), toPath: stage.workspace.path("access.log.\(rotation)"))
            // By turns as logrotate's reload does it, and by the signal for logs alone.
            if rotation.isMultiple(of: 2) {
                try stage.reload()
            } else {
                let before = stage.edge.process.lines("opened again").count
                kill(stage.edge.process.pid, SIGUSR1)
                _ = try eventually("the file") {
                    stage.edge.process.lines("opened again").count > before ? true : nil
                }
            }
            #expect(FileManager.default.fileExists(atPath: stage.workspace.path("access.log")))
        }
        let result = try clients.end()
        let numbers = result.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        #expect(result.contains("failed 0"), "\(result)")
        try await stage.stop()
        var lines = try stage.lines("access.log")
        for rotation in 1...rotations {
            let some = try stage.lines("access.log.\(rotation)")
            #expect(!some.isEmpty)
            lines += some
        }
        // What the clients counted, once each. The last request of a client may be answered as it ends.
        let served = lines.filter { $0["status"] as? Int == 200 }
        let suffix = result.range(of: "new ").map { result[$0.lowerBound...] } ?? ""
        let counts = suffix.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        #expect(counts.count >= 3 && served.count == counts[0] + counts[1], "\(result), \(served.count) \(numbers)")
        #expect(Set(served.map { "\($0["connection"] ?? "") \($0["number"] ?? "")" }).count == served.count)
        #expect(served.allSatisfy { $0["tls_suite"] as? String != nil && $0["mode"] as? String == "handoff" })
        #expect(lines.contains { $0["cache"] as? String == "hit" })
    }

    @Test("Relayed connections have lines; combined is read by what reads it")
    func combined() async throws {
        let stage = try await Stage("{ to: access.log, format: combined, mask: { parameters: [token] } }")
        for (url, more) in [
            ("https://one.test/a?token=secret&b=1", "Mozilla/5.0 \"quoted\""), ("https://origin.test/", "x"),
            ("https://one.test/b", "curl"),
        ] {
            let fetched = try Tool.curl(url, to: stage.edge.port, stage.workspace, "-A", more)
            #expect(fetched.output == "from the origin", "\(fetched.all)")
        }
        _ = try eventually("three lines") {
            try stage.workspace.read("access.log").split(separator: "\n").count == 3 ? true : nil
        }
        let text = try stage.workspace.read("access.log")
        #expect(
            text.contains("\"GET /a?token=***&b=1 HTTP/2.0\" 200 15 \"-\" \"Mozilla/5.0 \\x22quoted\\x22\"\n"),
            "\(text)")
        #expect(text.contains("\"CONNECT origin.test:443 HTTP/1.1\" 200 "))
        // Format, then none: a reload changes that, too.
        let file = try stage.workspace.read("paris.yaml")
        let changed = file.replacingOccurrences(of: "format: combined, ", with: "format: '{status} {site}', ")
        try stage.workspace.write(changed, to: "paris.yaml")
        try stage.reload()
        _ = try Tool.curl("https://one.test/c", to: stage.edge.port, stage.workspace)
        _ = try eventually("a line of the template's") {
            try stage.workspace.read("access.log").hasSuffix("\n200 one.test\n") ? true : nil
        }
        // What cannot be opened is refused whole, and the old one goes on.
        try stage.workspace.write(
            changed.replacingOccurrences(of: "to: access.log", with: "to: none/a"), to: "paris.yaml")
        let refused = try Tool.run(
            TestProcess.executable.path, ["reload", "--config", stage.workspace.path("paris.yaml")])
        #expect(refused.status == 1 && refused.all.contains("there is no directory"), "\(refused.all)")
        _ = try Tool.curl("https://one.test/d", to: stage.edge.port, stage.workspace)
        _ = try eventually("another line") {
            try stage.workspace.read("access.log").hasSuffix("\n200 one.test\n200 one.test\n") ? true : nil
        }
        try await stage.stop()
    }

    @Test("What the key holder tells of its handshakes: group, and whether a ticket was taken")
    func facts() async throws {
        let stage = try await Stage("access.log")
        let session = stage.workspace.path("session.pem")
        for use in ["-sess_out", "-sess_in"] {
            for version in ["-tls1_3", "-tls1_2"] {
                let result = try Tool.openssl(
                    stage.edge.port, stage.workspace, "-servername", "one.test", "-ign_eof",
                    version, use,
                    session + version, input: "GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
                #expect(result.all.contains("from the origin"), "\(result.all)")
            }
        }
        let lines = try eventually("four lines") {
            let lines = try stage.lines("access.log")
            return lines.count == 4 ? lines : nil
        }
        #expect(lines.map { $0["tls_resumed"] as? Bool } == [false, false, true, true], "\(lines)")
        #expect(lines.prefix(3).allSatisfy { $0["tls_group"] as? String == "X25519" }, "\(lines)")
        #expect(lines.map { $0["tls_version"] as? String } == ["TLSv1.3", "TLSv1.2", "TLSv1.3", "TLSv1.2"])
        try await stage.stop()
    }

    @Test("Requests without TLS have lines: redirects, what is not found, no request at all, and challenges")
    func withoutTLS() async throws {
        let port = try Workspace.freePort()
        let stage = try await Stage("access.log\nlisten-http: 127.0.0.1:\(port)")
        func ask(_ request: String) throws {
            let socket = try TestSocket.connect(port: port)
            try socket.send(Array(request.utf8))
            _ = try socket.receiveToEnd()
        }
        try ask("GET /a?b HTTP/1.1\r\nHost: one.test\r\nUser-Agent: x\r\n\r\n")
        try ask("HEAD / HTTP/1.1\r\nHost: other.test\r\n\r\n")
        try ask("\u{16}\u{3}\u{1}\r\n\r\n")
        try ask("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: one.test\r\n\r\n")
        let lines = try eventually("four lines") {
            let lines = try stage.lines("access.log")
            return lines.count == 4 ? lines : nil
        }
        #expect(lines.map { $0["status"] as? Int } == [308, 404, 400, 200], "\(lines)")
        #expect(lines.map { $0["site"] as? String } == ["one.test", "-", "-", "one.test"], "\(lines)")
        #expect(lines.map { $0["host"] as? String }.prefix(2) == ["one.test", "other.test"], "\(lines)")
        #expect(lines[0]["target"] as? String == "/a?b" && lines[0]["user_agent"] as? String == "x", "\(lines[0])")
        #expect(lines.map { $0["bytes"] as? Int } == [4, 0, 4, 15], "\(lines)")
        #expect(lines.prefix(2).map { $0["outcome"] as? String } == ["complete", "not-found"])
        #expect(lines[3]["target"] as? String == "/.well-known/acme-challenge/token", "\(lines[3])")
        #expect(lines.allSatisfy { $0["tls_version"] == nil && $0["mode"] == nil && $0["client"] != nil }, "\(lines)")
        #expect(Set(lines.compactMap { $0["connection"] as? Int }).count == 4, "\(lines)")
        try await stage.stop()
    }
}
