import Admission
import EdgeHTTP
import EdgeModel
import Foundation
import HTTPCaching
import Logging
import NIOCore
import Telemetry
import TestWire
import Testing

/// What the access log says of requests, whatever becomes of them.
@Suite("The access log of a site", .timeLimit(.minutes(2))) struct AccessLogTests {
    private final class Log: Sendable {
        let writer = AccessLogWriter(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("access-\(UUID().uuidString)").path

        init() async throws {
            try await self.writer.use(try OpenAccessLog(.file(self.path), layout: AccessLayout(.json)))
        }

        /// All lines; the log ends.
        func lines() async throws -> [[String: Any]] {
            try await self.writer.use(nil)
            return try String(contentsOfFile: self.path, encoding: .utf8).split(separator: "\n").map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
            }
        }
    }

    private static let echo: @Sendable (Wire, Int) async throws -> Void = { wire, _ in
        while true {
            let head = try await wire.readHead()
            if head.contains(" /gone ") { return }
            if head.contains(" /slow ") { try await Task.sleep(for: .milliseconds(120)) }
            try await wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(head.utf8.count)\r\n\r\n\(head)")
        }
    }

    @Test("A request that the origin answers: who, what, when, by whom")
    func whole() async throws {
        let log = try await Log()
        try await ProxyBench.run(accessLog: log.writer, naming: .origin, origin: Self.echo) { bench in
            let client = try await bench.client()
            try await client.send(
                ProxyBench.request(
                    "GET /slow HTTP/1.1", "User-Agent: a \"b\"", "Referer: https://r.test/?x=1",
                    "X-Request-Id: not-mine"))
            let response = try await client.readResponse()
            let name = try #require(Wire.field("x-request-id", in: response.text))
            #expect(response.field("x-request-id") == nil)
            let lines = try await log.lines()
            let line = try #require(lines.first)
            #expect(lines.count == 1)
            for (key, value) in [
                "client": "127.0.0.1", "site": ProxyBench.host, "host": ProxyBench.host, "mode": "handoff",
                "method": "GET", "target": "/slow", "protocol": "HTTP/1.1", "user_agent": "a \"b\"",
                "referrer": "https://r.test/?x=1", "tls_version": "TLSv1.3", "outcome": "complete",
                "request_id": name, "origin_address": "127.0.0.1:\(bench.origin.localAddress?.port ?? 0)",
            ] { #expect(line[key] as? String == value, "\(key): \(line[key] ?? "none")") }
            #expect(line["status"] as? Int == 200 && line["bytes"] as? Int == response.text.utf8.count)
            #expect(line["connection"] as? Int == 7 && line["number"] as? Int == 1)
            for key in ["duration", "first_byte", "origin_duration", "origin_first_byte"] {
                let seconds = try #require(line[key] as? Double)
                #expect(0.1 < seconds && seconds < 10, "\(key)")
            }
        }
    }

    @Test("Names of requests: two differ, a trusted proxy's is kept, and clients are told where the site wants it")
    func names() async throws {
        let log = try await Log()
        let trusted = [try IPNetwork(parsing: "127.0.0.0/8")]
        try await ProxyBench.run(
            trustedProxies: trusted, accessLog: log.writer, naming: .client, origin: Self.echo
        ) { bench in
            let client = try await bench.client()
            var names: [String?] = []
            for field in ["X-Request-Id: proxys-own", "Accept: a/a", "Accept: b/b"] {
                try await client.send(ProxyBench.request("GET /a HTTP/1.1", field))
                let response = try await client.readResponse()
                names.append(response.field("x-request-id"))
                #expect(Wire.field("x-request-id", in: response.text) == names.last)
            }
            // The edge's own answers bear it, too.
            try await client.send(ProxyBench.request("GET /gone HTTP/1.1"))
            names.append(try await client.readResponse().field("x-request-id"))
            #expect(names[0] == "proxys-own")
            #expect(Set(names).count == 4)
            #expect(try await log.lines().map { $0["request_id"] as? String } == names)
        }
    }

    @Test("What is refused, fails, or is left has a line as well")
    func failures() async throws {
        let log = try await Log()
        try await ProxyBench.run(accessLog: log.writer, origin: Self.echo) { bench in
            for text in [
                "GET /other HTTP/1.1\r\nHost: other.test\r\nUser-Agent: me\r\n\r\n",
                ProxyBench.request("GET /gone HTTP/1.1"),
                "NO HTTP\u{1}\r\n\r\n",
            ] {
                let client = try await bench.client()
                try await client.send(text)
                _ = try await client.readResponse()
            }
            let client = try await bench.client()
            try await client.send(ProxyBench.request("GET /slow HTTP/1.1"))
            try await Task.sleep(for: .milliseconds(30))
            try await client.channel.close().get()
            var lines: [[String: Any]] = []
            for _ in 0..<100 where lines.count < 4 {
                try await Task.sleep(for: .milliseconds(20))
                lines = try String(contentsOfFile: log.path, encoding: .utf8).split(separator: "\n").compactMap {
                    try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
                }
            }
            #expect(lines.map { $0["status"] as? Int } == [421, 502, 400, 499])
            #expect(lines.map { $0["target"] as? String } == ["/other", "/gone", nil, "/slow"])
            #expect(lines[0]["user_agent"] as? String == "me")
            #expect(lines.last?["outcome"] as? String == "client-closed")
        }
    }

    @Test("Hits and misses say so, also where clients are told the names of requests", arguments: [false, true])
    func cache(shows: Bool) async throws {
        let log = try await Log()
        let bench = CacheBench()
        try await ProxyBench.run(
            cache: SiteCacheConfiguration(), store: bench.store, accessLog: log.writer,
            naming: shows ? .client : .origin,
            origin: { wire, _ in
                while true {
                    _ = try await wire.readHead()
                    try await wire.send(
                        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Request-Id: origins\r\nContent-Length: 2\r\n\r\nok"
                    )
                }
            }
        ) { bench in
            let client = try await bench.client()
            var names: Set<String?> = []
            for _ in 1...3 {
                try await client.send(ProxyBench.request("GET /a?b HTTP/1.1"))
                names.insert(try await client.readResponse().field("x-request-id"))
            }
            let lines = try await log.lines()
            #expect(lines.map { $0["cache"] as? String } == ["miss", "hit", "hit"])
            #expect(lines.map { $0["bytes"] as? Int } == [2, 2, 2])
            #expect(lines.map { $0["origin_address"] != nil } == [true, false, false])
            #expect(lines.allSatisfy { $0["target"] as? String == "/a?b" })
            #expect(Set(lines.map { $0["request_id"] as? String }).count == 3)
            // Where clients are told, a stored answer bears the name of this request, and not that of the first.
            #expect(shows ? names == Set(lines.map { $0["request_id"] as? String }) : names == ["origins"])
        }
    }
}
