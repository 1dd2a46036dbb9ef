import ArgumentParser
import FoundationEssentials
import Settings
import TLSWire

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// `latchstring check`: says what is wrong with a configuration before clients find out.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration end to end.",
        discussion: """
            Reads the file, then what it names. A key holder: do chains, keys and domains belong together, do grants name \
            sites that exist. An edge: does every key holder answer, and for each keyless site, does a signature from it \
            verify with the certificate it shows; do origins take connections. Both: is there, for each domain, a CAA \
            record that keeps whatever answers for the name from getting a certificate for it.

            One line for each thing: ok, warn or FAIL, the place in the file, and what to do. Exit status: 0 if nothing \
            is wrong, 1 if something is, 2 if the command line is wrong.
            """)

    @Option(help: ArgumentHelp("The configuration file, of an edge or a key holder.", valueName: "file"))
    var config: String

    @Flag(help: "Connect to nothing: check the file and the files it names.")
    var offline = false

    @Option(
        help: ArgumentHelp(
            "The DNS server to ask for CAA records, instead of the system's.", valueName: "address[:port]"))
    var resolver: String?

    func validate() throws {
        _ = try CAACheck.resolver(self.resolver)
    }

    func run() async throws {
        MemoryProtection.forbidDumps()
        let resolver = try CAACheck.resolver(self.resolver)
        let report = CheckReport(colours: Self.wantsColours()) { StandardOutput.write($0) }
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
        for warning in loaded.warnings {
            report.warn(warning.location, warning.message, remedy: warning.remedy)
        }
        let domains: [(domain: ServerNamePattern, location: SourceLocation)]
        switch loaded.party {
        case .edge(let settings):
            await EdgeCheck(settings: settings, report: report, offline: self.offline, now: Date()).run()
            domains = settings.sites.flatMap { site in site.domains.map { ($0, site.location) } }
        case .keyHolder(let settings):
            domains = KeyHolderCheck(settings: settings, report: report, now: Date()).run()
        }
        if !self.offline { await CAACheck(report: report, resolver: resolver).run(domains) }
        report.finish()
        if report.failures > 0 { throw ExitCode(1) }
    }

    private static func wantsColours() -> Bool {
        guard isatty(STDOUT_FILENO) == 1 else { return false }
        if let forbidden = getenv("NO_COLOR"), forbidden.pointee != 0 { return false }
        return getenv("TERM").map { String(cString: $0) } != "dumb"
    }
}
