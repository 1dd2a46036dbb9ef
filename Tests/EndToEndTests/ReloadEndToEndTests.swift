import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// An edge that reads its file again while clients are served: real binaries, ordinary clients.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ReloadEndToEndTests {
    /// An origin, a key holder with three sites, and an edge that serves some of them.
    private final class Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        let edge: RunningEdge
        let origin: TLSOrigin

        static let sites = ["one.test", "two.test", "three.test"]

        init(_ served: [String] = ["one.test"], mode: String = "keyless") async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            for site in Self.sites { try workspace.makeSite(site) }
            try workspace.makeSite("origin.test")
            self.origin = try await TLSOrigin(domain: "origin.test", in: workspace) { _ in
                .init(body: "from the origin", cacheControl: "max-age=600")
            }
            self.keyHolder = try RunningKeyHolder(
                sites: Self.sites, grantedTo: "paris", operations: mode, rate: 10_000, in: workspace)
            self.edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"], deadline: 2s }
                cache: { memory: 16MiB }
                limits: { exempt: [127.0.0.0/8] }
                sites:
                \(Self.entries(served, mode: mode, origin: self.origin.port))
                """, in: workspace)
            for site in served { try self.edge.process.wait(for: "lease begun") { $0["site"] == site } }
        }

        private static func entries(_ sites: [String], mode: String, origin: UInt16) -> String {
            sites.map {
                """
                  - domains: [\($0)]
                    mode: \(mode)
                    keyholder: home
                    cache: { status: true }
                    origin: { url: "https://127.0.0.1:\(origin)", name: origin.test, roots: roots.pem }
                """
            }.joined(separator: "\n")
        }

        /// Writes another list of sites into the edge's file.
        func write(_ sites: [String], mode: String = "keyless", also change: (String) -> String = { $0 }) throws {
            let text = try self.workspace.read("paris.yaml")
            let head = text.components(separatedBy: "\nsites:\n")[0]
            try self.workspace.write(
                change(head) + "\nsites:\n" + Self.entries(sites, mode: mode, origin: self.origin.port) + "\n",
                to: "paris.yaml")
        }

        /// `latchstring reload`.
        func reload() throws -> Tool.Result {
            try Tool.run(TestProcess.executable.path, ["reload", "--config", self.workspace.path("paris.yaml")])
        }

        func get(_ site: String, _ arguments: String...) throws -> Tool.Result {
            try Tool.run(
                "curl",
                [
                    "-sS", "--max-time", "10", "--cacert", self.workspace.path("roots.pem"), "--connect-to",
                    "::127.0.0.1:\(self.edge.port)", "-D-", "https://\(site)/",
                ] + arguments)
        }

        func stop() async throws {
            self.edge.stop()
            self.keyHolder.stop()
            try await self.origin.stop()
        }
    }

    @Test("A site that is added is served, one that is removed is not, and what is stored stays")
    func sitesComeAndGo() async throws {
        let stage = try await Stage(["one.test", "three.test"])
        #expect(try stage.get("one.test").all.contains("from the origin"))
        #expect(try stage.get("two.test").status != 0)
        try stage.write(["one.test", "two.test"])
        let result = try stage.reload()
        #expect(result.status == 0 && result.all.contains("Reloaded."), "\(result.all)")
        #expect(try stage.get("two.test").all.contains("from the origin"))
        #expect(try stage.get("three.test").status != 0)
        // From the cache, which no reload empties.
        let again = try stage.get("one.test").all
        #expect(again.contains("; hit"), "\(again)")
        try await stage.stop()
    }

    @Test("SIGHUP does the same, and does not end the edge")
    func hangUp() async throws {
        let stage = try await Stage()
        try stage.write(["one.test", "two.test"])
        kill(stage.edge.process.pid, SIGHUP)
        try stage.edge.process.wait(for: "reloaded")
        #expect(try stage.get("two.test").all.contains("from the origin"))
        #expect(try stage.get("one.test").all.contains("from the origin"))
        try await stage.stop()
    }

    @Test("The log's level follows the file")
    func logLevel() async throws {
        let stage = try await Stage()
        // Each reading of the file has links of its own, made while the level before is in force.
        func links() -> Int { stage.edge.process.lines("key holder connected").count }
        func read(_ level: String) throws {
            try stage.write(["one.test"]) { $0.replacing(/level: \w+/, with: "level: \(level)") }
            let result = try stage.reload()
            #expect(result.status == 0 && !result.all.contains("restart"), "\(result.all)")
        }
        try read("notice")
        let before = links()
        try read("notice")
        #expect(stage.edge.process.lines("reloaded").count == 2)
        #expect(links() == before && before > 0)
        try read("debug")
        try read("debug")
        #expect(links() > before)
        try await stage.stop()
    }

    @Test("A file with an error changes nothing; the diagnostics are told")
    func errors() async throws {
        let stage = try await Stage()
        try stage.write(["one.test", "two.test"]) { $0 + "\nmistake: 1" }
        let result = try stage.reload()
        #expect(result.status == 1 && result.all.contains("unknown key \"mistake\""), "\(result.all)")
        kill(stage.edge.process.pid, SIGHUP)
        try stage.edge.process.wait(for: "not reloaded; everything stays as it was")
        #expect(try stage.get("one.test").all.contains("from the origin"))
        #expect(try stage.get("two.test").status != 0)
        // Nor does an address that is taken.
        try stage.write(["one.test", "two.test"]) {
            $0.replacingOccurrences(of: "mistake: 1", with: "").replacingOccurrences(
                of: "listen: [127.0.0.1:0]", with: "listen: [127.0.0.1:0, 127.0.0.1:\(stage.keyHolder.port)]")
        }
        let taken = try stage.reload()
        #expect(taken.status == 1 && taken.all.contains("Not reloaded"), "\(taken.all)")
        #expect(try stage.get("two.test").status != 0)
        // And what takes a restart is said, while the rest is in force.
        try stage.write(["one.test", "two.test"]) {
            $0.replacingOccurrences(of: ", 127.0.0.1:\(stage.keyHolder.port)]", with: "]").replacingOccurrences(
                of: "memory: 16MiB", with: "memory: 32MiB")
        }
        let restart = try stage.reload()
        #expect(restart.status == 0 && restart.all.contains("take a restart: cache"), "\(restart.all)")
        #expect(try stage.get("two.test").all.contains("from the origin"))
        try await stage.stop()
    }

    @Test("A key holder that is away costs no site that is served")
    func keyHolderAway() async throws {
        let stage = try await Stage()
        let port = stage.keyHolder.port
        let free = try Workspace.freePort()
        try stage.write(["one.test"]) {
            $0.replacingOccurrences(of: "127.0.0.1:\(port)", with: "127.0.0.1:\(free)")
        }
        let result = try stage.reload()
        #expect(result.status == 1 && result.all.contains("no key holder has answered for one.test"), "\(result.all)")
        #expect(try stage.get("one.test").all.contains("from the origin"))
        try await stage.stop()
    }

    @Test(
        "Connections that are open go on, sessions are resumed, listeners open and close",
        arguments: ["keyless", "handoff"])
    func connectionsGoOn(mode: String) async throws {
        let stage = try await Stage(mode: mode)
        let roots = stage.workspace.path("roots.pem")
        let session = stage.workspace.path("session")
        func ask(_ arguments: String...) throws -> String {
            try Tool.run(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(stage.edge.port)", "-CAfile", roots, "-verify_return_error",
                    "-servername", "one.test", "-ign_eof",
                ] + arguments, input: "GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n"
            ).all
        }
        #expect(try ask("-sess_out", session).contains("New, TLSv1.3"))
        // A connection from before, kept over the reload by a client that asks twice.
        let port = stage.edge.port
        let script = """
            import ssl, socket, sys
            context = ssl.create_default_context(cafile=sys.argv[1])
            tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="one.test")
            def ask():
                tls.sendall(b"GET / HTTP/1.1\\r\\nHost: one.test\\r\\n\\r\\n")
                answer = b""
                while not answer.endswith(b"from the origin"):
                    data = tls.recv(4096)
                    if not data: raise SystemExit("closed: %r" % answer)
                    answer += data
            ask()
            print("asked", flush=True)
            sys.stdin.readline()
            ask()
            print("asked again", flush=True)
            """
        try stage.workspace.write(script, to: "kept.py")
        let second = try Workspace.freePort()
        try stage.write(["one.test", "two.test"], mode: mode) {
            $0.replacingOccurrences(of: "listen: [127.0.0.1:0]", with: "listen: [127.0.0.1:0, 127.0.0.1:\(second)]")
        }
        let kept = try InteractiveTool(
            "python3", [stage.workspace.path("kept.py"), roots, String(port)], in: stage.workspace)
        try kept.wait(for: "asked")
        #expect(try stage.reload().status == 0)
        try kept.send("go\n")
        try kept.wait(for: "asked again")
        #expect(try ask("-sess_in", session).contains("Reused, TLSv1.3"))
        _ = try TestSocket.connect(port: second)
        try stage.write(["one.test"], mode: mode) {
            $0.replacingOccurrences(of: ", 127.0.0.1:\(second)]", with: "]")
        }
        #expect(try stage.reload().status == 0)
        #expect(throws: (any Error).self) { _ = try TestSocket.connect(port: second) }
        #expect(try ask().contains("from the origin"))
        try await stage.stop()
    }

    @Test("Reloads under load fail no request, and leave nothing behind")
    func underLoad() async throws {
        let stage = try await Stage()
        let load = try SteadyClients("one.test", port: stage.edge.port, in: stage.workspace)
        for round in 0..<40 {
            try stage.write(round % 2 == 0 ? ["one.test", "two.test"] : ["one.test"])
            let result = try stage.reload()
            #expect(result.status == 0, "\(result.all)")
        }
        let result = try load.end()
        #expect(result.contains("failed 0 "), "\(result)")
        // One link for each event loop: those of generations that are gone are closed.
        _ = try eventually("links of former generations to end") {
            try stage.edge.metric(#"latchstring_key_links_ready{keyholder="home"}"#) == 1 ? true : nil
        }
        try await stage.stop()
    }

    @Test("The files of an identity are read again by themselves, at edge and key holder; when it ends is a metric")
    func identities() async throws {
        let stage = try await Stage()
        let metric = "latchstring_edge_identity_not_after_seconds"
        let before = try stage.edge.metric(metric)
        #expect(before > 1_700_000_000)
        // A certificate without its key is not used.
        let key = try stage.workspace.read("edge-paris.key")
        try stage.workspace.makeIdentity(.edge, "paris")
        let newKey = try stage.workspace.read("edge-paris.key")
        try stage.workspace.write(key, to: "edge-paris.key")
        try stage.edge.process.wait(
            for: "the identity's files have changed, and are not used; the identity stays as it was")
        #expect(try stage.get("one.test").all.contains("from the origin"))
        try stage.workspace.write(newKey, to: "edge-paris.key")
        try stage.edge.process.wait(for: "the identity's files have changed: they are in force")
        #expect(try stage.edge.metric(metric) >= before)
        try stage.workspace.makeIdentity(.keyholder, "home")
        try stage.keyHolder.process.wait(for: "the identity's files have changed: they are in force")
        #expect(try stage.get("one.test").all.contains("from the origin"))
        try await stage.stop()
    }
}
