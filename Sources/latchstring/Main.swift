import ArgumentParser

@main
struct Latchstring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latchstring",
        abstract: "An HTTPS edge that never holds a site's private key.",
        discussion: """
            New here? `latchstring demo` shows it all on this machine.
            To run your own: `latchstring init` writes the files and says what is next.
            """,
        version: ProgramVersion.text,
        subcommands: [
            DemoCommand.self, InitCommand.self, CertsCommand.self, TicketKeysCommand.self, KeyHolderCommand.self,
            EdgeCommand.self,
            CheckCommand.self,
            ClientCommand.self, PurgeCommand.self, CacheCommand.self, FleetCommand.self, ReloadCommand.self,
            RevokeCommand.self, GrantsCommand.self, AuditCommand.self,
            DemoChildCommand.self,
            DemoOriginCommand.self, HSMWorkerCommand.self,
        ]
    )
}
