import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestSockets
import Testing

/// An edge in service: its end, its health, clients without TLS, and a site's fields on every answer.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ServiceEndToEndTests {
    /// An origin without TLS that answers each connection with these bytes, and leaves it open; nil: closes it.
    private final class RawOrigin: Sendable {
        let port: UInt16
        private let listener: any Channel

        init(_ answer: @escaping @Sendable (String) -> String?) async throws {
            self.listener = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Handler(answer))
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            self.port = UInt16(self.listener.localAddress?.port ?? 0)
        }

        func stop() async throws { try await self.listener.close().get() }

        private final class Handler: ChannelInboundHandler {
            typealias InboundIn = ByteBuffer
            typealias OutboundOut = ByteBuffer

            private let answer: @Sendable (String) -> String?

            init(_ answer: @escaping @Sendable (String) -> String?) { self.answer = answer }

            func channelRead(context: ChannelHandlerContext, data: NIOAny) {
                guard let text = self.answer(String(buffer: self.unwrapInboundIn(data))) else {
                    return context.close(promise: nil)
                }
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            }
        }
    }

    private struct Stage {
        let workspace: Workspace
        let keyHolder: RunningKeyHolder
        let edge: RunningEdge
        let origin: RawOrigin

        init(
            _ more: String = "", mode: String = "keyless", site: String = "",
            answer: @escaping @Sendable (String) -> String?
        ) async throws {
            let workspace = try Workspace()
            self.workspace = workspace
            try workspace.makeSite("one.test")
            self.origin = try await RawOrigin(answer)
            self.keyHolder = try RunningKeyHolder(
                sites: ["one.test"], grantedTo: "paris", operations: mode, rate: 10_000, in: workspace)
            self.edge = try RunningEdge(
                """
                keyholders:
                  home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"] }
                \(more)
                sites:
                  - domains: [one.test]
                    mode: \(mode)
                    keyholder: home
                    origin: { url: "http://127.0.0.1:\(self.origin.port)" }
                    \(site)
                """, in: workspace)
            try self.edge.process.wait(for: "lease begun")
        }

        func get(_ path: String, _ arguments: String...) throws -> String {
            try Tool.run(
                "curl",
                [
                    "-sS", "--max-time", "10", "--cacert", self.workspace.path("roots.pem"), "--connect-to",
                    "::127.0.0.1:\(self.edge.port)", "-D-", "https://one.test\(path)",
                ] + arguments
            ).all
        }

        /// The answer of the admin port, with its head.
        func admin(_ path: String) throws -> String {
            let socket = try TestSocket.connect(port: self.edge.adminPort)
            try socket.send(Array("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8))
            return String(decoding: try socket.receiveToEnd(), as: UTF8.self)
        }

        func stop() async throws {
            self.edge.stop()
            self.keyHolder.stop()
            try await self.origin.stop()
        }
    }

    private static let page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nServer: origin\r\n\r\npage"

    // MARK: Stopping

    @Test(
        "SIGTERM with an open event stream ends the edge in the time that is set, and says how many connections are left",
        arguments: ["keyless", "handoff"], ["--http1.1", "--http2"])
    func eventStream(mode: String, version: String) async throws {
        let stage = try await Stage("drain: 2s", mode: mode) { _ in
            // Neither has an end of its own. Over HTTP/1.1 the edge frames it anew where the origin closes.
            version == "--http2"
                ? "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\ndata: first\n\n"
                : "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n"
        }
        let client = try InteractiveTool(
            "curl",
            [
                "-sS", "-N", "-D-", version, "--cacert", stage.workspace.path("roots.pem"), "--connect-to",
                "::127.0.0.1:\(stage.edge.port)", "https://one.test/",
            ], in: stage.workspace)
        try client.wait(for: version == "--http2" ? "HTTP/2 200" : "HTTP/1.1 200 OK")
        try client.wait(for: "data: first")
        let begun = ContinuousClock.now
        kill(stage.edge.process.pid, SIGTERM)
        let unready = try eventually("a drain that is told") {
            let answer = try stage.admin("/health/ready")
            return answer.contains(#""stopping":{"status":"failed""#) ? answer : nil
        }
        #expect(unready.hasPrefix("HTTP/1.1 503"))
        #expect(try stage.edge.process.waitForExit() == 0)
        let took = ContinuousClock.now - begun
        #expect(took > .seconds(1.8) && took < .seconds(5), "\(took)")
        #expect(stage.edge.process.lines("waiting for connections to end").first?["connections"] == "1")
        #expect(stage.edge.process.lines("connections are closed, since their time is over").count == 1)
        try await stage.stop()
    }

    @Test("An edge without connections ends at once")
    func idle() async throws {
        let stage = try await Stage("drain: 1m") { _ in Self.page }
        #expect(try stage.get("/").contains("page"))
        let begun = ContinuousClock.now
        kill(stage.edge.process.pid, SIGTERM)
        #expect(try stage.edge.process.waitForExit() == 0)
        #expect(ContinuousClock.now - begun < .seconds(3))
        try await stage.stop()
    }

    // MARK: Health

    @Test("Ready means that clients are served: a lost key holder, a failing origin and the sites' own states are told")
    func health() async throws {
        let isBroken = Switch()
        let stage = try await Stage { _ in isBroken.value ? nil : Self.page }
        _ = try eventually("readiness") { try stage.admin("/health/ready").hasPrefix("HTTP/1.1 200") ? true : nil }
        #expect(try stage.admin("/health/ready").contains(#""sites":{"status":"ok"}"#))
        let sites = try stage.admin("/health/sites")
        #expect(
            sites.contains(#""connected":true,"name":"home"}"#)
                && sites.contains(#""state":"ready""#) && sites.contains(#""status":"ok""#)
                && sites.contains(#""certificate-not-after":"#), "\(sites)")
        isBroken.value = true
        #expect(try stage.get("/").contains("502"))
        let degraded = try stage.admin("/health/ready")
        #expect(degraded.hasPrefix("HTTP/1.1 200"), "\(degraded)")
        #expect(degraded.contains(#""origins":{"status":"degraded","reason":"one.test: closed"}"#), "\(degraded)")
        #expect(try stage.admin("/health/sites").contains(#""origin":{"cause":"closed""#))
        isBroken.value = false
        #expect(try stage.get("/").contains("page"))
        #expect(try stage.admin("/health/ready").contains(#""origins":{"status":"ok"}"#))
        // The lease goes on for minutes, and no handshake succeeds.
        stage.keyHolder.process.kill9()
        let unready = try eventually("the loss of the key holder") {
            let answer = try stage.admin("/health/ready")
            return answer.hasPrefix("HTTP/1.1 503") ? answer : nil
        }
        #expect(unready.contains("one.test: there is no link to the key holder home"), "\(unready)")
        #expect(try stage.admin("/health/sites").contains(#""status":"failed""#))
        try await stage.stop()
    }

    @Test("Origins that fail make an edge unready where that is asked for")
    func originsAreNeeded() async throws {
        let stage = try await Stage("ready-needs: origins") { _ in nil }
        #expect(try stage.get("/").contains("502"))
        let answer = try stage.admin("/health/ready")
        #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("one.test: closed"), "\(answer)")
        try await stage.stop()
    }

    @Test("Ready is who can open files, and whose disk store takes responses where that is asked for")
    func descriptorsAndStore() async throws {
        let stage = try await Stage("cache: { disk: { path: store, size: 100MiB } }\nready-needs: store") { _ in
            "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nCache-Control: max-age=60\r\n\r\n"
                + String(repeating: "kept", count: 25_000)
        }
        let process = stage.edge.process.pid
        _ = try eventually("readiness") { try stage.admin("/health/ready").hasPrefix("HTTP/1.1 200") ? true : nil }
        func limit(_ descriptors: String) throws {
            #expect(try Tool.run("prlimit", ["--pid", "\(process)", "--nofile=\(descriptors):"]).status == 0)
        }
        let former = try Tool.run(
            "prlimit", ["--pid", "\(process)", "--nofile", "--noheadings", "--output", "SOFT"]
        ).output.trimmingCharacters(in: .whitespacesAndNewlines)
        // One for the question, and not enough besides.
        let open = Set(
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").compactMap { Int($0) })
        let least = try #require((1...10_000).first { bound in (0..<bound).count { !open.contains($0) } == 5 })
        try limit("\(least)")
        let unready = try stage.admin("/health/ready")
        #expect(unready.hasPrefix("HTTP/1.1 503"), "\(unready)")
        #expect(
            unready.contains(
                #""descriptors":{"status":"failed","reason":"file descriptors are at their end: raise LimitNOFILE="#),
            "\(unready)")
        try limit(former)
        #expect(try stage.admin("/health/ready").hasPrefix("HTTP/1.1 200"))
        // What is in the way of the store's files is no folder.
        try FileManager.default.removeItem(atPath: stage.workspace.path("store"))
        try stage.workspace.write("x", to: "store")
        #expect(try stage.get("/kept").contains("kept"))
        let unwritable = try eventually("a store that takes nothing") {
            let answer = try stage.admin("/health/ready")
            return answer.hasPrefix("HTTP/1.1 503") ? answer : nil
        }
        #expect(unwritable.contains(#""store":{"status":"failed","reason":"the disk store takes nothing"#))
        #expect(try stage.get("/kept").contains("kept"))
        try await stage.stop()
    }

    // MARK: Without TLS

    @Test("Port 80: known hosts are sent on, challenges go to the origin, everything else is not found")
    func plain() async throws {
        let port = try Workspace.freePort()
        let stage = try await Stage(
            "listen-http: { listen: [127.0.0.1:\(port)], redirect: 301 }", site: "add-fields: { X-Edge: paris }"
        ) {
            request in
            request.hasPrefix("GET /.well-known/acme-challenge/abc_-9 HTTP/1.1\r\n") ? Self.page : nil
        }
        func ask(_ request: String) throws -> String {
            let socket = try TestSocket.connect(port: port)
            try socket.send(Array(request.utf8))
            return String(decoding: try socket.receiveToEnd(), as: UTF8.self)
        }
        let moved = try ask("GET /a?b=\"c HTTP/1.1\r\nHost: ONE.test:80\r\n\r\n")
        #expect(
            moved.hasPrefix("HTTP/1.1 301 ") && moved.contains("location: https://one.test/a?b=\"c\r\n"), "\(moved)")
        #expect(moved.contains("connection: close") && !moved.lowercased().contains("x-edge"))
        #expect(try ask("HEAD / HTTP/1.0\r\nHost: one.test\r\n\r\n").hasSuffix("\r\n\r\n"))
        #expect(try ask("POST / HTTP/1.1\r\nHost: one.test\r\nContent-Length: 3\r\n\r\nabc").hasPrefix("HTTP/1.1 308 "))
        #expect(
            try ask("GET http://one.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n").contains(
                "location: https://one.test/x"))
        let challenge = try ask("GET /.well-known/acme-challenge/abc_-9 HTTP/1.1\r\nHost: one.test\r\n\r\n")
        #expect(challenge.hasPrefix("HTTP/1.1 200") && challenge.hasSuffix("page"), "\(challenge)")
        for (method, path, host) in [
            ("GET", "/", "other.test"), ("GET", "/", "127.0.0.1"), ("GET", "/.well-known/acme-challenge/", "one.test"),
            ("GET", "/.well-known/acme-challenge/../x", "one.test"),
            ("GET", "/.well-known/acme-challenge/a/b", "one.test"),
            ("GET", "/.well-known/acme-challenge/a?b", "one.test"),
            ("DELETE", "/.well-known/acme-challenge/a", "one.test"),
            ("OPTIONS", "*", "one.test"), ("CONNECT", "one.test:443", "one.test:443"),
        ] {
            let answer = try ask("\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 404 "), "\(method) \(path) \(host): \(answer)")
        }
        for request in [
            "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "\u{16}\u{3}\u{1} rubbish\r\n\r\n",
        ] {
            #expect(try ask(request).hasPrefix("HTTP/1.1 400 "), "\(request)")
        }
        // The TLS port is as ever, and the listener is one that a successor takes.
        #expect(try stage.get("/x").contains("502"))
        kill(stage.edge.process.pid, SIGUSR2)
        let line = try stage.edge.process.wait(for: "handed over")
        #expect(try ask("GET / HTTP/1.1\r\nHost: one.test\r\n\r\n").hasPrefix("HTTP/1.1 301 "))
        let successor = try #require(line["process"].flatMap { Int32($0) })
        kill(successor, SIGTERM)
        _ = try eventually("the successor's end") { kill(successor, 0) != 0 ? true : nil }
        try await stage.stop()
    }

    @Test("A client that is slow without TLS has as long as one with it")
    func slow() async throws {
        let port = try Workspace.freePort()
        let stage = try await Stage("listen-http: 127.0.0.1:\(port)\nlimits: { hello-timeout: 300ms }") { _ in Self.page
        }
        let socket = try TestSocket.connect(port: port)
        try socket.send(Array("GET / HT".utf8))
        let begun = ContinuousClock.now
        #expect(try socket.receiveToEnd().isEmpty)
        #expect(ContinuousClock.now - begun < .seconds(5))
        try await stage.stop()
    }

    // MARK: Fields

    @Test("A site's fields are on every answer, whether it stores anything or not", arguments: ["true", "false"])
    func fields(cache: String) async throws {
        let stage = try await Stage(
            site:
                "cache: \(cache)\n    add-fields: { Strict-Transport-Security: max-age=600 }\n    remove-fields: [Server]"
        ) { request in
            request.contains("GET /broken")
                ? nil
                : request.contains("GET /kept")
                    ? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nServer: origin\r\nCache-Control: max-age=60\r\n\r\nkept"
                    : Self.page
        }
        for version in ["--http1.1", "--http2"] {
            for path in ["/", "/kept", "/kept", "/broken"] {
                let answer = try stage.get(path, version).lowercased()
                #expect(answer.contains("strict-transport-security: max-age=600\r\n"), "\(version) \(path): \(answer)")
                #expect(!answer.contains("server:"), "\(version) \(path): \(answer)")
            }
            // Refused by the edge before anything is asked.
            let refused = try stage.get("/", version, "-H", "Host: other.test").lowercased()
            #expect(refused.contains("strict-transport-security: max-age=600\r\n"), "\(refused)")
        }
        try await stage.stop()
    }
}

private final class Switch: Sendable {
    private let held = Mutex(false)

    var value: Bool {
        get { self.held.withLock { $0 } }
        set { self.held.withLock { $0 = newValue } }
    }
}
