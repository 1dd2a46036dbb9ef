import ArgumentParser
import Foundation
import NIOHTTP1
import Telemetry

/// `latchstring purge`: removes responses from an edge's cache.
struct PurgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "purge",
        abstract: "Remove responses from an edge's cache.",
        discussion: """
            Asks the edge through its admin port. When the command ends, no client gets what was removed any more, and a \
            restart does not bring it back. Responses that are on their way from the origin are not stored. With --soft they \
            stay, as stale: they are served only as stale responses may be, and confirmed by the origin.

            URLs are as clients write them, with the port if they name one. A prefix is compared with whole URLs as text.

            Exit status: 0 if it was done, 1 if not, 2 if the command line is wrong.

            Examples:
              latchstring purge --config edge.yaml https://www.example.test/news
              latchstring purge --config edge.yaml --prefix https://www.example.test/blog/
              latchstring purge --admin 127.0.0.1:9435 --tag product-17 --soft
            """)

    @OptionGroup var admin: AdminOptions

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
        let client = try self.admin.client()
        let body = try JSONEncoder().encode(self.order)
        let answer = try await client.ask(.POST, "/cache/purge", body: body)
        if self.admin.json { return StandardOutput.write(String(decoding: answer, as: UTF8.self)) }
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
