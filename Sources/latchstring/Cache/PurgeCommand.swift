import ArgumentParser
import Foundation
import NIOHTTP1
import Telemetry

/// `latchstring purge`: removes responses from an edge's cache.
struct PurgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge",
        abstract: "Remove responses from an edge's cache, or from those of a fleet.",
        discussion: """
            Asks one edge through its admin port, or with --fleet all edges of a fleet over its bus. When the command ends, no client gets what was removed any more, and a \
            restart does not bring it back. Responses that are on their way from the origin are not stored. With --soft they \
            stay, as stale: they are served only as stale responses may be, and confirmed by the origin.

            With --fleet, the command ends when every edge that is alive has acknowledged, and names those that have not. \
            docs/fleet.md says what that means.

            URLs are as clients write them, with the port if they name one. A prefix is compared with whole URLs as text.

            Exit status: 0 if it was done (by every edge that is there), 1 if not, 2 if the command line is wrong.

            Examples:
              latchstring purge --config edge.yaml https://www.example.test/news
              latchstring purge --config edge.yaml --prefix https://www.example.test/blog/
              latchstring purge --admin 127.0.0.1:9435 --tag product-17 --soft
              latchstring purge --fleet fleet.yaml https://www.example.test/news
            """)

    @OptionGroup var admin: AdminOptions

    @Option(
        help: ArgumentHelp(
            "Ask all edges of a fleet: a file of role: fleet, or an edge's that is part of it.", valueName: "file"))
    var fleet: String?

    @Option(help: ArgumentHelp("How long a fleet is waited for, in seconds.", valueName: "seconds"))
    var timeout = 10

    @Argument(help: ArgumentHelp("What to remove, all its variants.", valueName: "url"))
    var urls: [String] = []

    @Option(help: ArgumentHelp("Everything whose URL begins so. Can be repeated.", valueName: "url"))
    var prefix: [String] = []

    @Option(
        help: ArgumentHelp("Everything of a host, with its port if URLs have one. Can be repeated.", valueName: "host"))
    var host: [String] = []

    @Option(
        help: ArgumentHelp("Everything with this Surrogate-Key or Cache-Tag. Can be repeated.", valueName: "tag"))
    var tag: [String] = []

    @Flag(help: "Everything in the cache.")
    var everything = false

    @Flag(help: "Mark as stale instead of removing.")
    var soft = false

    func validate() throws {
        if self.fleet == nil {
            try self.admin.requireOne()
        } else if self.admin.config != nil || self.admin.admin != nil {
            throw ValidationError("--fleet stands for itself, without --config and --admin.")
        }
        if !(1...3600).contains(self.timeout) { throw ValidationError("--timeout: 1 to 3600 seconds.") }
        if self.order.count == 0 {
            throw ValidationError("Name what to remove: URLs, --prefix, --host, --tag or --everything.")
        }
    }

    private var order: PurgeOrder {
        PurgeOrder(
            urls: self.urls, prefixes: self.prefix, hosts: self.host, tags: self.tag, everything: self.everything,
            soft: self.soft)
    }

    func run() async throws {
        if let fleet {
            return try await FleetPurging(
                file: fleet, purge: self.order.fleetPurge, timeout: Int64(self.timeout) * 1000,
                printsJSON: self.admin.json
            ).run()
        }
        let client = try self.admin.client()
        let body = try JSONEncoder().encode(self.order)
        let answer = try await client.ask(.POST, "/cache/purge", body: body)
        if self.admin.json {
            StandardOutput.write(String(decoding: answer, as: UTF8.self))
            return
        }
        guard let report = try? JSONDecoder().decode(PurgeReport.self, from: answer) else {
            Startup.complain("error: the edge's answer is none that this version knows. Use the edge's own version.")
            throw ExitCode.failure
        }
        let done = report.soft ? "marked as stale" : "removed"
        StandardOutput.write("\(done): \(report.memory) in memory, \(report.disk) on disk\n")
        if report.memory + report.disk + report.fetches == 0 {
            StandardOutput.write(
                "Nothing stored matched. URLs and hosts are compared as clients write them, with query and port.\n")
        }
        if report.fetches > 0 {
            StandardOutput.write("on their way from the origin, and not stored as fresh: \(report.fetches)\n")
        }
    }
}
