import ArgumentParser
import Telemetry

/// 0: it worked. 1: it did not. 2: the command line was wrong.
extension Latchstring {
    /// ArgumentParser's own `main` ends wrong command lines with status 64; people and scripts expect 2.
    static func main() async {
        do {
            var command = try self.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            guard self.exitCode(for: error) == .validationFailure else { self.exit(withError: error) }
            StandardError.write(self.fullMessage(for: error) + "\n")
            self.exit(withError: ExitCode(2))
        }
    }
}
