import ArgumentParser
import CAARecords
import Diagnosis
import Settings
import Telemetry

/// `latchstring check`: says what is wrong with a configuration before clients find out.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration end to end.",
        discussion: """
            Reads the file, then what it names. A key holder: do chains, keys and domains belong together, do grants name \
            sites that exist. An edge: does every key holder answer, and for each keyless site, does a signature from it \
            verify with the certificate it shows; do origins take connections. An edge of a fleet, and a file of role: fleet: \
            can the bus be used, with this user's rights, and do the clocks agree. Edges and key holders: is there, for each domain, a CAA \
            record that keeps whatever answers for the name from getting a certificate for it.

            One line for each thing: ok, warn or FAIL, the place in the file, and what to do. Exit status: 0 if nothing \
            is wrong, 1 if something is, 2 if the command line is wrong.
            """)

    @Option(help: ArgumentHelp("The configuration file, of an edge, a key holder or a fleet.", valueName: "file"))
    var config: String

    @Flag(help: "Connect to nothing: check the file and the files it names.")
    var offline = false

    @Option(
        help: ArgumentHelp(
            "The DNS server to ask for CAA records, instead of the system's.", valueName: "address[:port]"))
    var resolver: String?

    func validate() throws {
        _ = try Self.resolver(self.resolver)
    }

    func run() async throws {
        MemoryProtection.forbidDumps()
        let resolver = try Self.resolver(self.resolver)
        let report = CheckReport(colours: StandardOutput.wantsColours) { StandardOutput.write($0) }
        let loaded: LoadedSettings
        do {
            loaded = try Settings.load(path: self.config)
        } catch {
            // The diagnostics show the line at fault, so they do not go through the report.
            StandardOutput.write("\(error)\n")
            let count = error.diagnostics.count { $0.severity == .error }
            StandardOutput.write("\(self.config) cannot be used: \(count) error\(count == 1 ? "" : "s").\n")
            throw ExitCode(1)
        }
        await ConfigurationCheck(report: report, resolver: resolver, offline: self.offline).run(loaded)
        if report.failures > 0 { throw ExitCode(1) }
    }

    /// - Parameter text: `--resolver`: an IPv4 address, with a port or without.
    private static func resolver(_ text: String?) throws -> SystemResolver {
        guard let text else { return SystemResolver() }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let port = parts.count == 2 ? UInt16(parts[1]) : 53
        guard let port, port > 0, let resolver = SystemResolver(server: String(parts[0]), port: port) else {
            throw ValidationError("--resolver takes an IPv4 address, with a port or without: 127.0.0.1:53.")
        }
        return resolver
    }
}
