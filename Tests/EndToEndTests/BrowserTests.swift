import Foundation
import TestSockets
import Testing

/// A page with many parts, loaded by a real browser over HTTP/2 in both terminating modes.
@Suite(.serialized, .timeLimit(.minutes(5))) struct BrowserTests {
    private static let parts = 12

    /// Each part counts itself; the last one to come writes down over which protocol the browser got them.
    private static func page(_ path: String) -> TLSOrigin.Page {
        guard path.hasPrefix("/part") else {
            let scripts = (1...Self.parts).map { "<script async src=/part\($0).js></script>" }.joined()
            return .init(body: "<!doctype html><title>page</title><body>\(scripts)", type: "text/html")
        }
        let script = """
            window.parts = (window.parts || 0) + 1;
            if (window.parts == \(Self.parts)) {
                const entries = performance.getEntriesByType("resource");
                const text = entries.map(entry => entry.nextHopProtocol).sort().join(" ");
                document.body.append("parts " + window.parts + " over " + text + " end");
            }
            // \(String(repeating: "x", count: 20_000))
            """
        return .init(body: script, type: "text/javascript", cacheControl: "max-age=600")
    }

    @Test(.enabled(if: Tool.exists("chromium")), arguments: ["keyless", "handoff"])
    func aPageOfManyPartsOverHTTP2(mode: String) async throws {
        let workspace = try Workspace()
        for name in ["www.test", "origin.test"] { try workspace.makeSite(name) }
        let origin = try await TLSOrigin(domain: "origin.test", in: workspace, page: Self.page)
        let keyHolder = try RunningKeyHolder(
            sites: ["www.test"], grantedTo: "paris", operations: mode, in: workspace)
        let edge = try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(keyHolder.port)"] }
            sites:
              - domains: [www.test]
                mode: \(mode)
                keyholder: home
                origin: { url: "https://127.0.0.1:\(origin.port)", name: origin.test, roots: roots.pem }
                cache: {}
            """, in: workspace)
        _ = try eventually("the site being served") {
            try Tool.curl("https://www.test/", to: edge.port, workspace).status == 0 ? true : nil
        }
        // The browser takes the certificate by the hash of its key, as the workspace's authority is none that it knows.
        let hash = try Tool.run(
            "sh",
            [
                "-c",
                """
                openssl x509 -in "$1" -pubkey -noout | openssl pkey -pubin -outform der \
                    | openssl dgst -sha256 -binary | base64
                """, "sh", workspace.path("www.test.pem"),
            ])
        let pin = hash.output.trimmingCharacters(in: .whitespacesAndNewlines)
        for visit in 1...2 {
            // A profile of its own, so that the second visit is the edge's cache's to serve and not the browser's.
            let answer = try Tool.run(
                "timeout",
                [
                    "90", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                    "--user-data-dir=\(workspace.path("profile-\(visit)"))",
                    "--host-resolver-rules=MAP www.test 127.0.0.1:\(edge.port)",
                    "--ignore-certificate-errors-spki-list=\(pin)", "--virtual-time-budget=8000", "--dump-dom",
                    "https://www.test/",
                ])
            let protocols = Array(repeating: "h2", count: Self.parts).joined(separator: " ")
            #expect(
                answer.output.contains("parts \(Self.parts) over \(protocols) end"),
                "visit \(visit): \(answer.output.prefix(2000))")
        }
        let metrics = try edge.metrics()
        let hits = metrics.filter {
            $0.key.hasPrefix("latchstring_cache_requests_total{") && $0.key.contains("outcome=\"hit\"")
        }.values.reduce(0, +)
        #expect(hits >= Double(Self.parts), "\(metrics.filter { $0.key.hasPrefix("latchstring_cache") })")
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }
}
