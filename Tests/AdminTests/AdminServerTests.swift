import Channels
import Logging
import Metrics
import NIOCore
import NIOPosix
import Telemetry
import Testing

@testable import Admin

@Suite("The admin port", .timeLimit(.minutes(1)))
struct AdminServerTests {
    /// Runs a server, sends `requests` over one connection, and returns everything until the server closes it.
    private static func exchange(
        _ requests: String, limits: AdminServer.Limits = AdminServer.Limits(), checks: [HealthCheck] = []
    ) async throws -> String {
        let registry = PrometheusRegistry()
        Counter(label: "seen", factory: registry).increment()
        let server = try await AdminServer.bind(
            host: "127.0.0.1", port: 0, metrics: registry, readiness: checks, limits: limits,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await server.run() }
        let port = try #require(server.localAddress?.port)
        let client = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        let text = try await client.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: requests))
            var all = ByteBuffer()
            do {
                for try await part in inbound { all.writeImmutableBuffer(part) }
            } catch is IOError {
                // The server closed while bytes of ours were still under way.
            }
            return String(buffer: all)
        }
        running.cancel()
        try await running.value
        return text
    }

    private static func get(_ path: String, method: String = "GET", host: String = "localhost") -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n"
    }

    @Test("Metrics")
    func metrics() async throws {
        let answer = try await Self.exchange(Self.get("/metrics"))
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(answer.contains("# TYPE seen_total counter\nseen_total 1\n"))
    }

    @Test("Health: live, ready, and not ready with the reason")
    func health() async throws {
        let live = try await Self.exchange(Self.get("/health/live"))
        #expect(live.hasPrefix("HTTP/1.1 200 OK\r\n"))
        let good = HealthCheck(name: "listener") { .ok }
        let bad = HealthCheck(name: "key holder \"home\"") { .failed("no connection") }
        let ready = try await Self.exchange(Self.get("/health/ready"), checks: [good])
        #expect(ready.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(ready.hasSuffix("{\"status\":\"ready\",\"checks\":{\"listener\":{\"status\":\"ok\"}}}\n"))
        let worse = HealthCheck(name: "fleet") { .degraded("the bus is lost") }
        let degraded = try await Self.exchange(Self.get("/health/ready"), checks: [good, worse])
        #expect(degraded.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(degraded.hasSuffix("\"fleet\":{\"status\":\"degraded\",\"reason\":\"the bus is lost\"}}}\n"))
        let unready = try await Self.exchange(Self.get("/health/ready"), checks: [good, bad])
        #expect(unready.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
        #expect(
            unready.hasSuffix(
                "\"key holder \\\"home\\\"\":{\"status\":\"failed\",\"reason\":\"no connection\"}}}\n"))
    }

    @Test("A check that does not answer has failed")
    func hangingCheck() async {
        let hanging = HealthCheck(name: "slow") {
            try? await Task.sleep(for: .seconds(600))
            return .ok
        }
        let report = await HealthReport.run([hanging], limit: .milliseconds(10))
        #expect(report == HealthReport(outcomes: [("slow", .failed("no answer in time"))]))
    }

    @Test("Other paths, other methods, HEAD")
    func refusals() async throws {
        #expect(try await Self.exchange(Self.get("/none")).hasPrefix("HTTP/1.1 404 "))
        let post = try await Self.exchange(Self.get("/metrics", method: "POST"))
        #expect(post.hasPrefix("HTTP/1.1 405 "))
        #expect(post.contains("allow: GET, HEAD\r\n"))
        let head = try await Self.exchange(Self.get("/health/live", method: "HEAD"))
        #expect(head.hasPrefix("HTTP/1.1 200 "))
        #expect(head.hasSuffix("\r\n\r\n"))
    }

    @Test("The page may load its style, and nothing else")
    func page() async throws {
        let page = try await Self.exchange(Self.get("/"))
        #expect(page.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(page.contains("content-type: text/html; charset=utf-8\r\n"))
        #expect(
            page.contains(
                "content-security-policy: default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
                    + "frame-ancestors 'none'\r\n"))
        #expect(page.contains("referrer-policy: no-referrer\r\n") && page.contains("x-frame-options: DENY\r\n"))
        let style = try await Self.exchange(Self.get("/status.css"))
        #expect(style.contains("content-type: text/css; charset=utf-8\r\n"))
        #expect(!(try await Self.exchange(Self.get("/metrics"))).contains("content-security-policy"))
    }

    @Test("Only requests for a loopback host are answered")
    func rebinding() async throws {
        #expect(try await Self.exchange(Self.get("/metrics", host: "evil.example")).hasPrefix("HTTP/1.1 403 "))
        #expect(
            try await Self.exchange("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").hasPrefix("HTTP/1.1 403 "))
        for host in ["127.0.0.1", "127.0.0.1:9000", "[::1]:9000", "LOCALHOST:1", "[0:0:0:0:0:0:0:1]"] {
            #expect(AdminRouter.isLocal(host: host), "\(host)")
        }
        for host in [
            "", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "[::1", "::1", "127.0.0.1:x",
        ] {
            #expect(!AdminRouter.isLocal(host: host), "\(host)")
        }
    }

    @Test("Pipelined requests are answered in order, and a connection ends after its last allowed request")
    func pipelining() async throws {
        var limits = AdminServer.Limits()
        limits.requestsPerConnection = 2
        let request = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        let missing = "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n"
        let answer = try await Self.exchange(request + missing + request, limits: limits)
        #expect(
            answer.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("HTTP/1.1 ") } == [
                "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found",
            ])
    }

    @Test("Too large a head, garbage, and too many bytes end the connection")
    func limits() async throws {
        let large = "GET / HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "x", count: 20_000))\r\n\r\n"
        let refused = try await Self.exchange(large)
        #expect(!refused.contains("404"))
        #expect(try await Self.exchange("\u{16}\u{3}\u{1} garbage\r\n\r\n").hasPrefix("HTTP/1.1 400 "))
        var limits = AdminServer.Limits()
        limits.bytesPerConnection = 100
        let cut = try await Self.exchange(String(repeating: "a", count: 200), limits: limits)
        #expect(cut == "")
    }

    @Test("A client that sends nothing is let go")
    func idle() async throws {
        var limits = AdminServer.Limits()
        limits.timeout = .milliseconds(20)
        #expect(try await Self.exchange("GET /metrics HTTP/1.1\r\n", limits: limits) == "")
    }

    @Test("Connections that show no token keep no client out that has it")
    func strangers() async throws {
        var limits = AdminServer.Limits()
        limits.connections = 4
        let token = try AdminToken("0123456789abcdef")
        let server = try await AdminServer.bind(
            host: "127.0.0.1", port: 0, metrics: PrometheusRegistry(), readiness: [], token: token, limits: limits,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await server.run() }
        let port = try #require(server.localAddress?.port)
        let client = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        var strangers: [any Channel] = []
        for _ in 0..<8 { strangers.append(try await client.connect(host: "127.0.0.1", port: port).get()) }
        let owner = try await client.connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        let text = try await owner.executeThenClose { inbound, outbound in
            try await outbound.write(
                ByteBuffer(
                    string: "GET /health/live HTTP/1.1\r\nHost: localhost\r\nAuthorization: \(token.authorization)\r\n"
                        + "Connection: close\r\n\r\n"))
            var all = ByteBuffer()
            for try await part in inbound { all.writeImmutableBuffer(part) }
            return String(buffer: all)
        }
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(text)")
        for stranger in strangers { try? await stranger.close() }
        running.cancel()
        try await running.value
    }

    @Test("It pauses where the system has no descriptors, as other listeners do")
    func gate() async throws {
        let server = try await AdminServer.bind(
            host: "127.0.0.1", port: 0, metrics: PrometheusRegistry(), readiness: [],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let channel = server.channel
        try await channel.eventLoop.submit {
            _ = try channel.pipeline.syncOperations.handler(type: AcceptGate.self)
        }.get()
        try await channel.close()
    }

    @Test("It does not listen beyond this machine")
    func loopbackOnly() async throws {
        await #expect(throws: AdminServer.BindError.notLoopback("0.0.0.0")) {
            try await AdminServer.bind(
                host: "0.0.0.0", port: 0, metrics: PrometheusRegistry(), readiness: [],
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }
    }
}
