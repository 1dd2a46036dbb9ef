import ArgumentParser
import FleetLink
import Foundation
import Settings
import Telemetry

/// `latchstring fleet`: the edges of a fleet.
struct FleetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fleet",
        abstract: "List the edges of a fleet, or make a key that orders their purges.",
        discussion: "docs/fleet.md says how a fleet is set up, and what its purges guarantee.",
        subcommands: [List.self, Key.self, Forget.self], defaultSubcommand: List.self)

    /// `latchstring fleet [list]`.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the edges of a fleet.",
            discussion: """
                An edge is late without a heartbeat for 15 seconds, and gone after a minute. It is revoked when one of its \
                key holders says that it has no grant. What edges say is signed with the keys of their identities.

                Exit status: 0 if every edge is alive, 1 if one is not or the bus can't be used, 2 if the command line is wrong.

                Examples:
                  latchstring fleet --config fleet.yaml
                  latchstring fleet --config fleet.yaml --watch
                """)

        @Option(help: ArgumentHelp("A file of role: fleet, or an edge's that is part of the fleet.", valueName: "file"))
        var config: String

        @Flag(help: "Show the list anew every second, until it is interrupted.")
        var watch = false

        @Flag(help: "Print JSON; with --watch one line each second.")
        var json = false

        func run() async throws {
            let settings = try FleetDesks.settings(self.config)
            let name = settings.fleet.name
            try await FleetDesks.use(settings) { desk in
                let isTerminal = StandardOutput.isTerminal
                repeat {
                    let census: FleetCensus
                    do {
                        census = try await desk.census()
                    } catch {
                        guard self.watch else { throw error }
                        // It comes back, and so does the list.
                        Startup.complain("\(error)")
                        try await Task.sleep(for: .seconds(1))
                        continue
                    }
                    let text =
                        if self.json {
                            try ReportJSON.line(FleetReport(census, fleet: name))
                        } else {
                            // Home, and clear what is below.
                            (self.watch && isTerminal ? "\u{1B}[H\u{1B}[J" : "") + FleetText.table(census, fleet: name)
                        }
                    guard StandardOutput.write(text) else { return }
                    guard self.watch else {
                        if census.edges.contains(where: { $0.standing != .alive }) { throw ExitCode.failure }
                        return
                    }
                    try await Task.sleep(for: .seconds(1))
                } while !Task.isCancelled
            }
        }
    }

    /// `latchstring fleet key`.
    struct Key: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key that orders purges, and print what edges are told of it.",
            discussion: """
                Each machine that orders purges has a key of its own: its orders are counted, in a file beside the key. \
                The key's file is readable by you alone, and nothing is overwritten.

                Example: latchstring fleet key --out ops.key
                """)

        @Option(help: ArgumentHelp("The new file; or with --show, one that is there.", valueName: "file"))
        var out: String

        @Option(help: ArgumentHelp("What edges call the signer.", valueName: "name"))
        var name = "ops"

        @Flag(help: "Print the public half of a key that is there already.")
        var show = false

        func run() throws {
            MemoryProtection.forbidDumps()
            let key = try Startup.orExit {
                try self.show ? SigningKey(path: self.out) : SigningKey.make(path: self.out)
            }
            StandardOutput.write(
                """
                \(self.show ? "The key in" : "Made") \(self.out). Add this to "signers" under "fleet" of every edge:
                    - { name: \(self.name), key: \(key.publicKey), may: everything }
                and signing-key: \(self.out) to the file that you order purges with.

                """)
        }
    }

    /// `latchstring fleet forget`.
    struct Forget: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove an edge that is gone for good from the list.",
            discussion: "One that is alive comes back with its next heartbeat.")

        @Option(help: ArgumentHelp("A file of role: fleet, or an edge's that is part of the fleet.", valueName: "file"))
        var config: String

        @Argument(help: ArgumentHelp("Its name in the list.", valueName: "edge"))
        var edge: String

        func run() async throws {
            try await FleetDesks.use(try FleetDesks.settings(self.config)) { desk in
                guard try await desk.forget(self.edge) else {
                    Startup.complain("error: there is no edge \(self.edge) in the list")
                    throw ExitCode.failure
                }
                StandardOutput.write("\(self.edge) is not in the list any more\n")
            }
        }
    }
}
