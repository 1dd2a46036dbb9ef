import NIOConcurrencyHelpers
import ServiceLifecycle

/// Opened once, when a process serves.
final class StartGate: Sendable {
    private let (opening, continuation) = AsyncStream<Void>.makeStream()

    func open() {
        self.continuation.yield()
        self.continuation.finish()
    }

    /// Waits for it, in one place.
    ///
    /// - Returns: false if the process is to end before.
    func wait() async -> Bool {
        for await _ in self.opening.cancelOnGracefulShutdown() { return true }
        return false
    }
}

/// A service that begins when a gate opens; nil: at once.
struct OpenedLater<Opened: Service>: Service {
    let service: Opened
    let gate: StartGate?

    func run() async throws {
        if let gate, await !gate.wait() { return }
        try await self.service.run()
    }
}
