import ArgumentParser
import Foundation
import NIOHTTP1
import Telemetry

/// `latchstring reload`: has a running edge read its configuration file again.
struct ReloadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have a running edge or key holder read its configuration file again.",
        discussion: """
            Asks through its admin port. New clients are served by the file as it is now; connections that are open and \
            responses that are stored stay. A file with an error is refused whole: everything stays as it was. Prints what is \
            wrong, and which changes take a restart. SIGHUP does the same, and says so in the log alone.

            Exit status: 0 if the file is in force, 1 if not, 2 if the command line is wrong.

            Examples:
              latchstring reload --config edge.yaml
              latchstring reload --admin 127.0.0.1:9435
              latchstring reload --config keyholder.yaml --revoke-old
            """)

    @OptionGroup var admin: AdminOptions

    @Flag(
        help:
            "Of a key holder: keys that are or were replaced end at once, without their grace. For a key that others may have."
    )
    var revokeOld = false

    func validate() throws { try self.admin.requireOne() }

    func run() async throws {
        let data = try await self.admin.client(role: nil).ask(
            .POST, self.revokeOld ? "/reload?revoke-old=1" : "/reload", body: Data())
        if self.admin.json { StandardOutput.write(String(decoding: data, as: UTF8.self)) }
        guard let report = try? JSONDecoder().decode(ReloadReport.self, from: data) else {
            Startup.complain(
                "error: the admin port's answer is none to a reload. Is it latchstring's, of this version?")
            throw ExitCode.failure
        }
        if !self.admin.json { Self.show(report) }
        if !report.reloaded { throw ExitCode.failure }
    }

    private static func show(_ report: ReloadReport) {
        for message in report.messages { Startup.complain(message) }
        guard report.reloaded else { return Startup.complain("Not reloaded; everything stays as it was.") }
        if !report.restart.isEmpty {
            Startup.complain("warning: these changes take a restart: \(report.restart.joined(separator: ", "))")
        }
        StandardOutput.write("Reloaded.\n")
    }
}
