import Channels
import Logging
import ServiceLifecycle

/// Tells what started this process how it is: the process before it that it serves now, and the service manager that it is ready, alive,
/// and about to end.
struct ServiceReports: Service {
    let environment: ServiceEnvironment
    let predecessor: Predecessor?
    /// Opens when this process serves.
    let gate: StartGate
    /// What is done as soon as it is the one that serves.
    var serves: @Sendable () async -> Void = {}
    /// Returns when each event loop has had its turn.
    let turn: @Sendable () async -> Void
    let status: @Sendable () -> String
    let logger: Logger

    func run() async throws {
        let notifier = self.environment.notifier
        guard await self.gate.wait() else {
            // A successor that failed is not the service.
            if self.predecessor == nil { notifier.stopping(logger: self.logger) }
            return
        }
        await self.serves()
        // What comes from another process than it knows, it does not hear.
        await self.predecessor?.awaitTold()
        notifier.ready(self.status(), logger: self.logger)
        await cancelWhenGracefulShutdown {
            // Half of the time: one that is late is no failure yet.
            while let pause = notifier.watchdog.map({ $0 / 2 }), !Task.isCancelled {
                await self.turn()
                notifier.isAlive(self.status(), logger: self.logger)
                try? await Task.sleep(for: pause)
            }
            if notifier.watchdog == nil { try? await gracefulShutdown() }
        }
        notifier.stopping(logger: self.logger)
    }
}

extension ServiceNotifier {
    /// Tells that a reload has begun, and that it has ended, whatever came of it.
    func telling(
        _ reload: @escaping @Sendable () async -> ReloadReport, _ status: @escaping @Sendable () -> String,
        logger: Logger
    ) -> @Sendable () async -> ReloadReport {
        {
            self.reloading(logger: logger)
            let report = await reload()
            self.ready(status(), logger: logger)
            return report
        }
    }
}
