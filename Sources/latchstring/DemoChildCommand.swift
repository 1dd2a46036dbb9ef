import ArgumentParser
import DemoKit

/// Hidden: runs another subcommand in this process, and ends when the demo does.
struct DemoChildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-child", abstract: "Run a subcommand until standard input ends.", shouldDisplay: false)

    @Argument
    var directory: String

    @Argument(parsing: .captureForPassthrough)
    var subcommand: [String] = []

    func run() async throws {
        try DemoChild.begin(in: self.directory)
        var command = try Latchstring.parseAsRoot(self.subcommand)
        if var asynchronous = command as? any AsyncParsableCommand {
            try await asynchronous.run()
        } else {
            try command.run()
        }
    }
}
