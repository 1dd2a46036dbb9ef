import Foundation
import PrivateAuthority
import TestSockets

/// An origin, a key holder and edges whose sites are in `handoff` mode, all of them served when the initialiser returns.
final class HandoffStage: Sendable {
    let workspace: Workspace
    let keyHolder: RunningKeyHolder
    let edges: [RunningEdge]
    private let origin: TLSOrigin

    var edge: RunningEdge { self.edges[0] }

    init(
        sites: [(name: String, keyType: SiteKeyType)] = [("www.test", .p256)], edges names: [String] = ["paris"],
        deadline: String = "2s"
    ) async throws {
        let workspace = try Workspace()
        self.workspace = workspace
        for (name, keyType) in sites { try workspace.makeSite(name, keyType: keyType) }
        try workspace.makeSite("origin.test")
        self.origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
        let keyHolder = try RunningKeyHolder(
            sites: sites.map(\.name), grantedTo: names.joined(separator: ","), operations: "handoff", in: workspace)
        self.keyHolder = keyHolder
        let port = self.origin.port
        let entries = sites.map { site in
            """
              - domains: [\(site.name)]
                mode: handoff
                keyholder: home
                origin: { url: "https://127.0.0.1:\(port)", name: origin.test, roots: roots.pem }
            """
        }
        let yaml = """
            keyholders:
              home: { addresses: ["127.0.0.1:\(keyHolder.port)"], deadline: \(deadline) }
            sites:
            \(entries.joined(separator: "\n"))
            """
        self.edges = try names.map { try RunningEdge(yaml, name: $0, in: workspace) }
        for (name, _) in sites { try self.waitUntilServed(name) }
    }

    /// Asks until every edge reaches the key holder.
    func waitUntilServed(_ name: String) throws {
        for edge in self.edges {
            _ = try eventually("\(name) being served") {
                try Tool.curl("https://\(name)/", to: edge.port, self.workspace).status == 0 ? true : nil
            }
        }
    }

    func stop() async throws {
        for edge in self.edges { edge.stop() }
        self.keyHolder.stop()
        try await self.origin.stop()
    }
}
