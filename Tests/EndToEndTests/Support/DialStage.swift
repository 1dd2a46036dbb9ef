import Foundation
import PrivateAuthority
import TestSockets

/// A key holder that connects to its edges by itself, and edges that wait for it: `one.test` is keyless, `two.test` handoff.
final class DialStage: Sendable {
    let workspace: Workspace
    let origin: TLSOrigin

    init() async throws {
        let workspace = try Workspace()
        self.workspace = workspace
        for site in ["one.test", "two.test", "origin.test"] { try workspace.makeSite(site) }
        try workspace.makeIdentity(.keyholder, "home")
        self.origin = try await TLSOrigin(domain: "origin.test", text: "from the origin", in: workspace)
    }

    /// Writes a key holder's file.
    ///
    /// - Parameter ports: of edges that it dials.
    func configure(
        _ ports: [UInt16], name: String = "home", grantedTo edges: [String] = ["paris", "rome"], _ more: String = ""
    ) throws {
        let addresses = ports.map { "\"127.0.0.1:\($0)\"" }.joined(separator: ", ")
        let grants = edges.map { "  - { edge: \($0), sites: [one.test, two.test], operations: [keyless, handoff] }\n" }
        try self.workspace.write(
            """
            role: keyholder
            dial: [\(addresses)]
            identity: { certificate: keyholder-\(name).pem, key: keyholder-\(name).key, authority: authority.pem }
            sites:
              - { certificate: one.test.pem, key: one.test.key }
              - { certificate: two.test.pem, key: two.test.key }
            grants:
            \(grants.joined())
            \(more)
            audit: \(name).jsonl
            log: { level: debug, format: json }

            """, to: "\(name).yaml")
    }

    func keyHolder(_ name: String = "home") throws -> TestProcess {
        try TestProcess(["keyholder", "--config", "\(name).yaml"], name: name, in: self.workspace)
    }

    /// - Parameter port: where the key holder is to connect.
    func edge(_ name: String, acceptingAt port: UInt16, _ more: String = "") throws -> RunningEdge {
        let origin = "{ url: \"https://127.0.0.1:\(self.origin.port)\", name: origin.test, roots: roots.pem }"
        return try RunningEdge(
            """
            listen-keyholders: [127.0.0.1:\(port)]
            keyholders:
              home: { dialled-by: [home], deadline: 5s }
            \(more)
            sites:
              - { domains: [one.test], mode: keyless, keyholder: home, origin: \(origin) }
              - { domains: [two.test], mode: handoff, keyholder: home, origin: \(origin) }
            """, name: name, in: self.workspace)
    }

    func isServed(_ edge: RunningEdge) throws -> Bool {
        try ["one.test", "two.test"].allSatisfy { site in
            try Tool.curl("https://\(site)/", to: edge.port, self.workspace).output == "from the origin"
        }
    }

    func awaitService(_ edge: RunningEdge) throws {
        _ = try eventually("the sites being served") { try self.isServed(edge) ? true : nil }
    }

    /// TCP sockets at which a process listens.
    static func listeners(of process: TestProcess) throws -> Int {
        let folder = "/proc/\(process.pid)/fd"
        let sockets = try FileManager.default.contentsOfDirectory(atPath: folder).compactMap { number in
            try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(number)")
        }
        return try ["tcp", "tcp6"].reduce(0) { count, family in
            let table = try String(contentsOfFile: "/proc/\(process.pid)/net/\(family)", encoding: .utf8)
            return count
                + table.split(separator: "\n").dropFirst().count { row in
                    let fields = row.split(separator: " ")
                    return fields.count > 9 && fields[3] == "0A" && sockets.contains("socket:[\(fields[9])]")
                }
        }
    }
}
