import ArgumentParser

@main
struct Latchstring: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latchstring",
        abstract: "An HTTPS edge that never holds a site's private key.",
        discussion: """
            New here? `latchstring demo` shows it all on this machine.
            To run your own: `latchstring certs`, then `latchstring keyholder`, then `latchstring edge`.
            """,
        subcommands: [
            EdgeCommand.self, KeyHolderCommand.self, CertsCommand.self, CheckCommand.self, DemoCommand.self,
            DemoChildCommand.self,
            DemoOriginCommand.self,
        ]
    )
}
