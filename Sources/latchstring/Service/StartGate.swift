import NIOConcurrencyHelpers
import ServiceLifecycle

/// Opened once, when a process serves.
final class StartGate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [AsyncStream<Void>.Continuation] = []
    }

    private let state = NIOLockedValueBox(State())

    func open() {
        let waiting = self.state.withLockedValue { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for one in waiting {
            one.yield()
            one.finish()
        }
    }

    /// Waits for it. Several may.
    ///
    /// - Returns: false if the process is to end before.
    func wait() async -> Bool {
        let (opening, continuation) = AsyncStream<Void>.makeStream()
        let isOpen = self.state.withLockedValue { state in
            if !state.isOpen { state.waiting.append(continuation) }
            return state.isOpen
        }
        if isOpen { return true }
        for await _ in opening.cancelOnGracefulShutdown() { return true }
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
