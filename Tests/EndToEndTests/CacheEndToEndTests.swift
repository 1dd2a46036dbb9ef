import Foundation
import PrivateAuthority
import TestSockets
import Testing

/// The cache with the real binaries: curl asks, `purge` and `cache` look after it, a disk keeps it over a restart.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CacheEndToEndTests {
    private static func yaml(keyHolder port: UInt16, origin: UInt16) -> String {
        """
        keyholders:
          home: { addresses: ["127.0.0.1:\(port)"] }
        sites:
          - domains: [www.test]
            mode: keyless
            keyholder: home
            origin: { url: "https://127.0.0.1:\(origin)", name: origin.test, roots: roots.pem }
            cache:
              rules:
                - { path: "/kept*", lifetime: 1h }
        cache: { memory: 16MiB, disk: { path: stored, size: 16MiB } }
        """
    }

    private static func command(_ arguments: String..., in workspace: Workspace) throws -> Tool.Result {
        try Tool.run(
            TestProcess.executable.path,
            arguments.map { $0 == "EDGE" ? workspace.path("paris.yaml") : $0 })
    }

    /// The edge's own line in `Cache-Status`.
    private static func status(_ path: String, _ edge: RunningEdge, _ workspace: Workspace) throws -> String {
        let fetched = try Tool.curl("https://www.test\(path)", to: edge.port, workspace, "-D", "-")
        #expect(fetched.output.hasSuffix("from the origin"), "\(fetched.all)")
        for line in fetched.output.split(whereSeparator: \.isNewline)
        where line.lowercased().hasPrefix("cache-status: ") {
            return String(line.dropFirst("cache-status: ".count))
        }
        return "none"
    }

    @Test func missHitPurgeAndRestart() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test")
        try workspace.makeSite("origin.test")
        let origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test"], grantedTo: "paris", in: workspace)
        let yaml = Self.yaml(keyHolder: keyHolder.port, origin: origin.port)
        let first = try RunningEdge(yaml, in: workspace)
        _ = try eventually("the site being served") {
            try Tool.curl("https://www.test/", to: first.port, workspace).status == 0 ? true : nil
        }
        #expect(try Self.status("/kept", first, workspace).hasPrefix("paris; fwd=uri-miss; fwd-status=200; stored;"))
        #expect(try Self.status("/kept", first, workspace).hasPrefix("paris; hit; ttl="))
        #expect(try Self.status("/other", first, workspace).contains("no-freshness-no-validator"))

        let shown = try Self.command("cache", "--config", "EDGE", "https://www.test/kept", in: workspace)
        #expect(shown.status == 0)
        #expect(shown.output.contains("200, 15 bytes, in memory"), "\(shown.all)")
        #expect(shown.output.contains("lifetime 3600 s (site-override)"), "\(shown.all)")
        let purged = try Self.command("purge", "--config", "EDGE", "https://www.test/kept", "--json", in: workspace)
        #expect(purged.status == 0, "\(purged.all)")
        #expect(purged.output.contains("\"memory\":1"), "\(purged.all)")
        #expect(try Self.status("/kept", first, workspace).hasPrefix("paris; fwd=uri-miss"))
        #expect(try Self.status("/kept2", first, workspace).hasPrefix("paris; fwd=uri-miss"))
        #expect(try first.metric("latchstring_cache_requests_total{outcome=\"hit\",site=\"www.test\"}") == 1)

        let unknown = try Self.command("purge", "--config", "EDGE", "https://else.test/", in: workspace)
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains("no site of this edge that stores responses has the domain \"else.test\""))
        let typo = try Self.command("purge", "--config", "EDGE", "--host", "ww.test", in: workspace)
        #expect(typo.status == 1)
        #expect(typo.errors.contains("has the domain \"ww.test\""), "\(typo.all)")
        for (option, value) in [
            ("--host", "https://www.test/"), ("--host", ""), ("--tag", " "), ("--tag", "a b,c"),
        ] {
            let wrong = try Self.command("purge", "--config", "EDGE", option, value, in: workspace)
            #expect(wrong.status == 1)
            #expect(wrong.errors.contains("\"\(value)\" is not"), "\(wrong.all)")
        }
        let soft = try Self.command("purge", "--config", "EDGE", "--host", "WWW.test:443", "--soft", in: workspace)
        #expect(soft.output.contains("marked as stale: 2 in memory"), "\(soft.all)")
        let stale = try Self.command("cache", "--config", "EDGE", "https://www.test/kept", in: workspace)
        #expect(stale.output.contains("stale since a soft purge"), "\(stale.all)")
        let missed = try Self.command("purge", "--config", "EDGE", "--tag", "none", in: workspace)
        #expect(missed.status == 0)
        #expect(missed.output.contains("Nothing stored matched"), "\(missed.all)")
        #expect(try Self.status("/kept2", first, workspace).hasPrefix("paris; fwd=stale; "))
        let nothing = try Self.command("purge", "--config", "EDGE", in: workspace)
        #expect(nothing.status == 2)
        first.stop()
        _ = try eventually("the edge's end") { first.process.isRunning ? nil : true }
        let gone = try Self.command("cache", "--config", "EDGE", in: workspace)
        #expect(gone.status == 1)
        #expect(gone.errors.contains("Is the edge running"), "\(gone.all)")

        // What was stored before the restart is served after it.
        let second = try RunningEdge(yaml, in: workspace)
        _ = try eventually("the site being served") {
            try Tool.curl("https://www.test/", to: second.port, workspace).status == 0 ? true : nil
        }
        #expect(try Self.status("/kept2", second, workspace).hasPrefix("paris; hit; ttl="))
        second.stop()
        keyHolder.stop()
        try await origin.stop()
    }
}
