import Foundation
import Synchronization
import TestBus
import TestSockets

/// Edges of one fleet with the real binary: a key holder, an origin that changes, a bus.
final class FleetStage: Sendable {
    let workspace: Workspace
    let server: RedisServer
    let origin: TLSOrigin
    let keyHolder: RunningKeyHolder
    let publicKey: String
    /// What the origin answers is the path and this.
    private let version: VersionBox

    final class VersionBox: Sendable {
        private let value = Mutex(1)
        var now: Int { self.value.withLock { $0 } }
        func raise() -> Int {
            self.value.withLock { value in
                value += 1
                return value
            }
        }
    }

    init(edges: [String], isDurable: Bool = true) async throws {
        let workspace = try Workspace()
        self.workspace = workspace
        try workspace.makeSite("www.test")
        try workspace.makeSite("origin.test")
        let version = VersionBox()
        self.version = version
        self.origin = try await TLSOrigin(domain: "origin.test", in: workspace) { path in
            .init(body: "\(path) \(version.now)", cacheControl: "public, max-age=3600")
        }
        (self.server, self.keyHolder, self.publicKey) = try await blocking {
            let server = try RedisServer(isDurable: isDurable)
            let keyHolder = try RunningKeyHolder(
                sites: ["www.test"], grantedTo: edges.joined(separator: ","), in: workspace)
            let made = try Tool.run(
                TestProcess.executable.path, ["fleet", "key", "--out", workspace.path("ops.key")])
            guard let start = made.output.range(of: "key: ") else { throw NeverHappened(what: "a key: \(made.all)") }
            let key = String(made.output[start.upperBound...].prefix(64))
            try workspace.write(
                """
                role: fleet
                authority: authority.pem
                fleet:
                  name: test
                  redis: ["redis://127.0.0.1:\(server.port)"]
                  signing-key: ops.key

                """, to: "fleet.yaml")
            return (server, keyHolder, key)
        }
    }

    /// What the origin has from now on.
    func raise() -> Int { self.version.raise() }

    /// Starts an edge, or starts it again.
    ///
    /// - Parameters:
    ///   - extra: another line of its `fleet`.
    ///   - signers: that line of it.
    func edge(_ name: String, extra: String = "", signers: String? = nil) throws -> RunningEdge {
        let signers = signers ?? "signers: [{ name: ops, key: \"\(self.publicKey)\", may: everything }]"
        return try self.edge(
            name,
            fleet: """
                fleet:
                  name: test
                  redis: ["redis://127.0.0.1:\(self.server.port)"]
                  \(signers)
                  \(extra)
                """)
    }

    /// Starts an edge with this part for its fleet.
    func edge(_ name: String, fleet: String) throws -> RunningEdge {
        try RunningEdge(
            """
            keyholders:
              home: { addresses: ["127.0.0.1:\(self.keyHolder.port)"] }
            sites:
              - domains: [www.test]
                mode: keyless
                keyholder: home
                origin: { url: "https://127.0.0.1:\(self.origin.port)", name: origin.test, roots: roots.pem }
            cache: { memory: 16MiB, disk: { path: "stored-\(name)", size: 16MiB } }
            \(fleet)
            """, name: name, in: self.workspace)
    }

    /// Waits until an edge serves the site.
    func served(_ edge: RunningEdge) throws {
        _ = try eventually("the site being served") {
            try Tool.curl("https://www.test/", to: edge.port, self.workspace).status == 0 ? true : nil
        }
    }

    /// What an edge answers.
    func fetch(_ path: String, _ edge: RunningEdge) throws -> String {
        let result = try Tool.curl("https://www.test\(path)", to: edge.port, self.workspace)
        return result.status == 0 ? result.output : "failed: \(result.errors)"
    }

    /// `latchstring WORDS` in the workspace.
    func run(_ words: String...) throws -> Tool.Result {
        try Tool.run(
            TestProcess.executable.path, words.map { $0 == "FLEET" ? self.workspace.path("fleet.yaml") : $0 })
    }

    func stop() async throws {
        self.keyHolder.stop()
        try await self.origin.stop()
    }
}
