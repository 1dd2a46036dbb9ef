import Logging
import ServiceLifecycle
import UnixSignals

/// Opens the file of one log again at each SIGUSR1, and does nothing else: what rotates logs is no word on the configuration.
struct ReopenOnUserSignal: Service {
    /// `access log`, `audit log`.
    let log: String
    let reopen: @Sendable () async throws -> Void
    let logger: Logger

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sigusr1).cancelOnGracefulShutdown() {
            do {
                try await self.reopen()
                self.logger.notice("opened again", metadata: ["log": "\(self.log)"])
            } catch {
                self.logger.error(
                    "still writing to the old file", metadata: ["log": "\(self.log)", "error": "\(error)"])
            }
        }
    }
}
