import Logging
import ServiceLifecycle
import Telemetry
import UnixSignals

/// Opens the access log's file again at each SIGUSR1.
struct ReopenOnUserSignal: Service {
    let log: AccessLogWriter
    let logger: Logger

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sigusr1).cancelOnGracefulShutdown() {
            do throws(AccessLogError) {
                try await self.log.reopen()
                self.logger.notice("access log opened again")
            } catch {
                self.logger.error("still writing to the old access log", metadata: ["error": "\(error)"])
            }
        }
    }
}
