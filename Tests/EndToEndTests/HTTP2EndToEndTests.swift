import Foundation
import TestSockets
import Testing

/// HTTP/2 through the real binary, with the clients that people use.
@Suite(.serialized, .timeLimit(.minutes(3))) struct HTTP2EndToEndTests {
    private static let hasH2load = (try? Tool.run("h2load", ["--version"]))?.status == 0

    /// One site that offers HTTP/2, and one that does not.
    private static func run(_ test: (RunningEdge, Workspace) throws -> Void) async throws {
        let workspace = try Workspace()
        for name in ["www.test", "old.test", "origin.test"] { try workspace.makeSite(name) }
        let origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        let keyHolder = try RunningKeyHolder(sites: ["www.test", "old.test"], grantedTo: "paris", in: workspace)
        let sites = [("www.test", ""), ("old.test", "\n    http2: false")].map { name, more in
            """
              - domains: [\(name)]
                mode: keyless
                keyholder: home
                origin: { url: "https://127.0.0.1:\(origin.port)", name: origin.test, roots: roots.pem }\(more)
            """
        }
        let edge = try RunningEdge(
            """
            access-log: access.log
            keyholders:
              home: { addresses: ["127.0.0.1:\(keyHolder.port)"] }
            sites:
            \(sites.joined(separator: "\n"))
            """, in: workspace)
        for name in ["www.test", "old.test"] {
            _ = try eventually("\(name) being served") {
                try Tool.curl("https://\(name)/", to: edge.port, workspace).status == 0 ? true : nil
            }
        }
        try test(edge, workspace)
        edge.stop()
        keyHolder.stop()
        try await origin.stop()
    }

    @Test func eachSiteSaysWhetherItSpeaksIt() async throws {
        try await Self.run { edge, workspace in
            for (name, option, version) in [
                ("www.test", "--http2", "2"), ("www.test", "--http1.1", "1.1"), ("old.test", "--http2", "1.1"),
            ] {
                let fetched = try Tool.curl(
                    "https://\(name)/", to: edge.port, workspace, option, "--write-out", " %{http_version}")
                #expect(fetched.output == "from the origin \(version)", "\(name) with \(option): \(fetched.errors)")
            }
            for version in ["HTTP/2.0", "HTTP/1.1"] {
                _ = try eventually("a line of \(version)") {
                    try workspace.read("access.log").contains("\"protocol\":\"\(version)\"") ? true : nil
                }
            }
            // Both sites are on this address; a connection serves the one that it was made for.
            let misdirected = try Tool.curl(
                "https://www.test/", to: edge.port, workspace, "--http2", "--header", "Host: old.test", "--output",
                "/dev/null", "--write-out", "%{http_code}")
            #expect(misdirected.output == "421")
        }
    }

    @Test(.enabled(if: hasH2load, "needs h2load, from nghttp2-client")) func manyStreamsOnFewConnections() async throws
    {
        try await Self.run { edge, _ in
            let loaded = try Tool.run(
                "h2load",
                [
                    "-n", "600", "-c", "3", "-m", "50", "--connect-to=127.0.0.1:\(edge.port)", "https://www.test/",
                ])
            #expect(loaded.output.contains("600 succeeded, 0 failed, 0 errored"), "\(loaded.all)")
        }
    }
}
