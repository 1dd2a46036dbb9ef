import ArgumentParser
import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Hidden: runs another subcommand in this process, and ends when the demo does.
struct DemoChildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-child", abstract: "Run a subcommand until standard input ends.", shouldDisplay: false)

    @Argument
    var directory: String

    @Argument(parsing: .captureForPassthrough)
    var subcommand: [String] = []

    func run() async throws {
        guard chdir(directory) == 0 else { throw DemoFailure.system("enter \(directory)", errno) }
        endWithStandardInput()
        var command = try Latchstring.parseAsRoot(subcommand)
        if var asynchronous = command as? any AsyncParsableCommand {
            try await asynchronous.run()
        } else {
            try command.run()
        }
    }

    /// The demo holds the writing end and never writes: the end comes when it ends, even if it was killed.
    private func endWithStandardInput() {
        let queue = DispatchQueue(label: "latchstring.demo-child")
        queue.async {
            var byte: UInt8 = 0
            while read(0, &byte, 1) > 0 || errno == EINTR {}
            _exit(0)
        }
    }
}
