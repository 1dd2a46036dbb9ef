import ArgumentParser
import Foundation
import NIOHTTP1
import Settings
import Telemetry

/// `latchstring grants`: what edges may do at a running key holder, and what they did.
struct GrantsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grants",
        abstract: "Show what each edge may do at a key holder, what it did, and when it was last seen.",
        discussion: """
            Asks through the key holder's admin port. What edges did is counted from the key holder's start; the audit has each operation.

            Examples:
              latchstring grants --config keyholder.yaml
              latchstring grants --admin 127.0.0.1:9434 --json
            """)

    @OptionGroup var admin: AdminOptions

    func validate() throws { try self.admin.requireOne() }

    func run() async throws {
        let data = try await self.admin.client(role: .keyHolder).ask(.GET, "/grants")
        if self.admin.json {
            StandardOutput.write(String(decoding: data, as: UTF8.self))
            return
        }
        guard let report = try? JSONDecoder().decode(GrantsReport.self, from: data) else {
            Startup.complain("error: the admin port's answer is no list of grants. Is it a key holder's?")
            throw ExitCode.failure
        }
        StandardOutput.write(Self.text(report))
    }

    static func text(_ report: GrantsReport) -> String {
        guard !report.grants.isEmpty else { return "No edge is granted anything.\n" }
        return report.edges.map { edge in
            let seen = edge.connections > 0 ? "connected" : edge.seen.map { "last seen \($0)" } ?? "not seen"
            let grants = report.grants.filter { $0.edge == edge.edge }.map(Self.line)
            let done = Self.counts(edge.done)
            let refused = Self.counts(edge.refused)
            return "\(edge.edge): \(seen)\n" + grants.joined()
                + (done.isEmpty ? "" : "  did: \(done)\n") + (refused.isEmpty ? "" : "  refused: \(refused)\n")
        }.joined()
    }

    private static func line(_ grant: GrantsReport.Grant) -> String {
        var parts = ["\(grant.rate) per second"]
        parts += grant.rates.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value) per second" }
        if let until = grant.until { parts.append("until \(until)") }
        if let hours = grant.hours { parts.append("\(hours) UTC") }
        if let days = grant.days { parts.append(days.joined(separator: " ")) }
        return
            "  \(grant.state): \(grant.operations.joined(separator: ", ")) for \(grant.sites.joined(separator: ", "))"
            + " (\(parts.joined(separator: "; ")))\n"
    }

    private static func counts(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }
}
