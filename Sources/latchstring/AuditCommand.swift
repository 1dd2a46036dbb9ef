import ArgumentParser
import AuditChain
import SecretFiles
import Settings
import Telemetry

/// `latchstring audit`: verifies what a key holder has written, and shows who signs it.
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Verify a key holder's audit, and make or show the key that signs it.",
        subcommands: [AuditVerifyCommand.self, AuditKeyCommand.self])
}

/// `latchstring audit key`.
struct AuditKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract:
            "Show the public half of the key that signs an audit's checkpoints; make the key where it is missing.",
        discussion: """
            Keep what this prints elsewhere than on the key holder's machine: `latchstring audit verify --key` needs it, and it is worth \
            something only if who can change the audit cannot change it.

            Examples:
              latchstring audit key --config keyholder.yaml
              latchstring audit key /var/lib/latchstring-keyholder/audit.key
            """)

    @Argument(help: "The key's file.")
    var path: String?

    @Option(help: "The key holder's configuration file, which says where the key is.")
    var config: String?

    func validate() throws {
        guard (self.path == nil) != (self.config == nil) else {
            throw ValidationError("Name the key's file, or --config FILE.")
        }
    }

    func run() throws {
        MemoryProtection.forbidDumps()
        let path = try self.keyPath()
        try Startup.orExit {
            if SecretFile.problem(path)?.isMissing == true {
                if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
                    try SecretFile.makeFolder(String(path[..<slash]))
                }
                _ = try SigningKeyFile.make(path)
                StandardError.write("Made \(path).\n")
            }
            StandardOutput.write("\(CheckpointSigner(try SigningKeyFile.read(path)))\n")
        }
    }

    private func keyPath() throws -> String {
        if let path = self.path { return path }
        let settings = try Startup.settings { () throws(SettingsError) in
            try Settings.loadKeyHolder(path: self.config ?? "")
        }
        guard let path = settings.audit.key else { throw NoKey() }
        return path
    }

    private struct NoKey: Error, CustomStringConvertible {
        var description: String {
            "the audit has no place for a key: write state: FOLDER, or audit: {to: …, key: FILE}"
        }
    }
}
