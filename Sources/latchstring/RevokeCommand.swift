import ArgumentParser
import Foundation
import KeyProtocol
import NIOHTTP1
import Settings
import Telemetry

/// `latchstring revoke`: ends an edge's grants at a running key holder.
struct RevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke",
        abstract: "End an edge's grants at a key holder, at once and for good.",
        discussion: """
            For an edge that was stolen or taken over. Asks through the key holder's admin port. The edge is told, and its connections \
            are cut off; whatever the configuration grants it, does not count, after reloads and restarts either: the key holder keeps \
            the name in its state folder. Give a new edge in its place another name. --undo takes it back.

            Run it at each key holder of the site. Exit status: 0 if it is in force, 1 if not, 2 if the command line is wrong.

            Examples:
              latchstring revoke paris --config keyholder.yaml
              latchstring revoke paris --undo --admin 127.0.0.1:9434
            """)

    @Argument(help: ArgumentHelp("The name in the edge's identity.", valueName: "edge"))
    var edge: String

    @Flag(help: "Have the configuration's grants for the edge count again.")
    var undo = false

    @OptionGroup var admin: AdminOptions

    func validate() throws {
        try self.admin.requireOne()
        guard PartyName.isLegal(self.edge) else {
            throw ValidationError("\"\(self.edge)\" is no edge's name: 1 to 64 of a-z, 0-9, . and -.")
        }
    }

    func run() async throws {
        let data = try await self.admin.client(role: .keyHolder).ask(
            .POST, "/revoke?edge=\(self.edge)" + (self.undo ? "&undo=1" : ""), body: Data())
        if self.admin.json {
            StandardOutput.write(String(decoding: data, as: UTF8.self))
            return
        }
        guard let report = try? JSONDecoder().decode(RevocationReport.self, from: data) else {
            Startup.complain("error: the admin port's answer is none to a revocation. Is it a key holder's?")
            throw ExitCode.failure
        }
        switch (report.revoked, report.changed) {
        case (true, true): StandardOutput.write("Revoked: \(self.edge) may do nothing.\n")
        case (true, false): StandardOutput.write("\(self.edge) was revoked before.\n")
        case (false, true): StandardOutput.write("\(self.edge) has the grants of the configuration again.\n")
        case (false, false): StandardOutput.write("\(self.edge) was not revoked.\n")
        }
    }
}
