import ArgumentParser
import Foundation
import NIOHTTP1
import Telemetry

/// `latchstring cache`: what an edge has stored.
struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Show what an edge has stored for a URL, and why it is or isn't fresh.",
        discussion: """
            Asks the edge through its admin port. Without a URL: how full its stores are.

            Exit status: 0 if there was an answer, 1 if not, 2 if the command line is wrong.

            Example: latchstring cache --config edge.yaml https://www.example.test/news
            """)

    @OptionGroup var admin: AdminOptions

    @Argument(help: ArgumentHelp("As clients write it, with the port if they name one.", valueName: "url"))
    var url: String?

    func validate() throws { try self.admin.requireOne() }

    func run() async throws {
        let client = try self.admin.client()
        if let url {
            let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "-._~"))
            let parameter = url.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
            let answer = try await client.ask(.GET, "/cache/entries?url=\(parameter)")
            try self.show(answer, as: EntriesReport.self) { CacheText.entries($0) }
        } else {
            let answer = try await client.ask(.GET, "/cache")
            try self.show(answer, as: StoreReport.self) { CacheText.stores($0) }
        }
    }

    private func show<Report: Decodable>(_ answer: Data, as type: Report.Type, _ text: (Report) -> String) throws {
        if self.admin.json {
            StandardOutput.write(String(decoding: answer, as: UTF8.self))
            return
        }
        guard let report = try? JSONDecoder().decode(type, from: answer) else {
            Startup.complain("error: the edge's answer is none that this version knows. Use the edge's own version.")
            throw ExitCode.failure
        }
        StandardOutput.write(text(report))
    }
}

/// Reports for people.
enum CacheText {
    static func entries(_ report: EntriesReport) -> String {
        guard !report.entries.isEmpty else {
            return "\(report.key)\n  nothing is stored; Cache-Status in the response to a request says why\n"
        }
        return "\(report.key)\n" + report.entries.map(self.entry).joined()
    }

    private static func entry(_ entry: EntryReport) -> String {
        var lines: [String] = []
        let size = entry.bytes.map { "\($0) bytes" } ?? "length not known"
        lines.append(
            "\(entry.status), \(size)\(entry.extent == "complete" ? "" : ", \(entry.extent)"), \(entry.place == "disk" ? "on disk" : "in memory")"
        )
        lines.append(self.freshness(entry))
        for (name, value) in entry.selectedBy.sorted(by: { $0.key < $1.key }) {
            lines.append("for requests \(value.map { "with \(name): \($0)" } ?? "without \(name)")")
        }
        if let tag = entry.entityTag { lines.append("ETag \(tag)") }
        if let date = entry.lastModified { lines.append("Last-Modified \(date)") }
        if !entry.tags.isEmpty { lines.append("tags \(entry.tags.joined(separator: " "))") }
        return "  " + lines.joined(separator: "\n    ") + "\n"
    }

    private static func freshness(_ entry: EntryReport) -> String {
        let lifetime = "lifetime \(entry.lifetime) s (\(entry.lifetimeFrom)), age \(entry.age) s"
        switch entry.state {
        case "fresh": return "fresh for \(entry.timeToLive) s: \(lifetime)"
        case "invalidated":
            return "confirmed by the origin before it is used: an unsafe request changed it; \(lifetime)"
        case "validated-on-use": return "confirmed by the origin before each use (no-cache); \(lifetime)"
        case "softly-purged":
            return "stale since a soft purge \(-entry.timeToLive) s ago; \(self.windows(entry)); age \(entry.age) s"
        default: return "stale for \(-entry.timeToLive) s; \(self.windows(entry)); \(lifetime)"
        }
    }

    private static func windows(_ entry: EntryReport) -> String {
        "served stale for \(entry.staleWhileRevalidate) s while it is confirmed, \(entry.staleIfError) s while the origin fails"
    }

    static func stores(_ report: StoreReport) -> String {
        var text =
            "memory: \(report.memoryEntries) responses, \(report.memoryBytes) bytes, \(report.evictions) evicted\n"
        if let disk = report.disk {
            text +=
                "disk: \(disk.entries) responses, \(disk.bytes) bytes\(disk.isWritable ? "" : ", not writable now")\n"
        }
        for (name, site) in report.sites.sorted(by: { $0.key < $1.key }) {
            text += "site \(name): \(site.entries) responses, \(site.bytes) of \(site.limit) bytes in memory\n"
        }
        return text
    }
}
