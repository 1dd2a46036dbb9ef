import Dispatch
import Logging
import ServiceLifecycle

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Ends the process where an orderly end does not come: what it writes to may not be read, or not answer.
struct BoundedEnd: Service {
    /// For all that belongs to an orderly end.
    let time: @Sendable () -> Duration
    let logger: Logger

    func run() async throws {
        try? await gracefulShutdown()
        let time = self.time()
        let logger = self.logger
        // Not a task: those may all be waiting.
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(Int(time.components.seconds))) {
            logger.critical("the process did not end in time, and is ended: lines may be lost")
            usleep(100_000)
            _exit(1)
        }
    }
}
