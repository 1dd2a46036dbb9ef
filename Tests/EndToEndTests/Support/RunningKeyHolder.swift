import Foundation
import PrivateAuthority
import TestSockets

/// A `latchstring keyholder` process with the identity `home`, listening; its audit log is `audit.jsonl` in the workspace, or
/// has its label in front.
final class RunningKeyHolder: Sendable {
    let process: TestProcess
    let port: UInt16
    private let workspace: Workspace
    private let sites: [String]
    private let operations: String
    private let rate: Int
    private let lease: String
    private let grace: String
    private let label: String

    /// - Parameters:
    ///   - sites: names of `Workspace.makeSite`; with several certificates, their files' names, divided by `+`, the first being the site's.
    ///   - edges: who is granted the operations on all of them; several are divided by commas.
    ///   - lease: the setting.
    ///   - grace: how long a key that is replaced stays good.
    ///   - label: of its files, where several run.
    ///   - extra: what else is to stand in its file.
    ///   - audit: where its audit log goes instead.
    ///   - logIsRead: whether its log arrives. If not, it fills a pipe, and the port is not learned from it.
    init(
        sites: [String], grantedTo edges: String, operations: String = "keyless", rate: Int = 1000, port: UInt16 = 0,
        lease: String = "10m", grace: String = "10m", label: String = "home", extra: String = "",
        audit: String? = nil, logIsRead: Bool = true, in workspace: Workspace
    ) throws {
        if !FileManager.default.fileExists(atPath: workspace.path("keyholder-home.pem")) {
            try workspace.makeIdentity(.keyholder, "home")
        }
        self.workspace = workspace
        self.sites = sites
        self.operations = operations
        self.rate = rate
        self.lease = lease
        self.grace = grace
        self.label = label
        let chosen = logIsRead ? port : try Workspace.freePort()
        try Self.configure(
            sites: sites, granted: sites, to: edges, operations: operations, rate: rate, port: chosen, lease: lease,
            grace: grace, label: label, extra: extra, audit: audit, in: workspace)
        self.process = try TestProcess(
            ["keyholder", "--inspectable", "--config", "\(label).yaml"], name: label, logIsRead: logIsRead,
            in: workspace)
        if logIsRead {
            self.port = try self.process.listeningPort()
        } else {
            self.port = chosen
            _ = try eventually("a listener") { try? TestSocket.connect(port: chosen) }
        }
    }

    private static func configure(
        sites: [String], granted: [String], to edges: String, operations: String, rate: Int, port: UInt16,
        lease: String, grace: String, label: String, extra: String = "", audit: String? = nil,
        in workspace: Workspace
    ) throws {
        func list(_ names: [String]) -> String {
            names.map { "\"\($0.split(separator: "+")[0])\"" }.joined(separator: ", ")
        }
        let grants = edges.split(separator: ",").map { edge in
            "  - { edge: \(edge), sites: [\(list(granted))], operations: [\(operations)], rate: \(rate) }"
        }.joined(separator: "\n")
        let entries = sites.map { site in
            let files = site.split(separator: "+").map { "{ certificate: \"\($0).pem\", key: \"\($0).key\" }" }
            return files.count == 1 ? "  - \(files[0])" : "  - { certificates: [\(files.joined(separator: ", "))] }"
        }.joined(separator: "\n")
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:\(port)
            identity: { certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem }
            sites:
            \(entries)
            grants:
            \(grants)
            lease: \(lease)
            grace: \(grace)
            audit: \(audit ?? Self.auditFile(label))
            log: { level: debug, format: json }
            \(extra)

            """, to: "\(label).yaml")
    }

    private static func auditFile(_ label: String) -> String {
        label == "home" ? "audit.jsonl" : "\(label)-audit.jsonl"
    }

    /// Has it read its files again, with all sites, or these, granted to these edges alone.
    ///
    /// - Parameter files: its sites, in the place of those it was started with.
    func reload(
        grantedTo edges: String, operations: String? = nil, sites granted: [String]? = nil, files: [String]? = nil
    ) throws {
        let before = self.process.lines("reloaded").count
        try Self.configure(
            sites: files ?? self.sites, granted: granted ?? self.sites, to: edges,
            operations: operations ?? self.operations,
            rate: self.rate, port: self.port, lease: self.lease, grace: self.grace,
            label: self.label, in: self.workspace)
        kill(self.process.pid, SIGHUP)
        _ = try eventually("the reload") { self.process.lines("reloaded").count > before ? true : nil }
    }

    func stop() { self.process.stop() }

    /// The audit lines so far.
    var audit: [LogLine] {
        let text = (try? self.workspace.read(Self.auditFile(self.label))) ?? ""
        return text.split(separator: "\n").compactMap { LogLine($0) }
    }

    func waitForAudit(_ what: String, where condition: (LogLine) -> Bool) throws {
        _ = try eventually("audit line: \(what)") { self.audit.contains(where: condition) ? true : nil }
    }
}
