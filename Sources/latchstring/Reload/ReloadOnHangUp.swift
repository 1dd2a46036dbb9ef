import Logging
import ServiceLifecycle
import UnixSignals

/// Reads the configuration again at each SIGHUP.
struct ReloadOnHangUp: Service {
    let reload: @Sendable () async -> ReloadReport

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            _ = await self.reload()
        }
    }
}

extension ReloadReport {
    /// One line in the log, and each complaint as the start would print it.
    func log(to logger: Logger) {
        for message in self.messages { Startup.complain(message) }
        guard self.reloaded else {
            logger.error(
                "not reloaded; everything stays as it was",
                metadata: ["reason": "\(self.messages.joined(separator: "; "))"])
            return
        }
        guard !self.restart.isEmpty else { return }
        logger.warning(
            "some changes take a restart", metadata: ["settings": "\(self.restart.joined(separator: ", "))"])
    }
}
