import Foundation
import Synchronization

/// A flag that one thread sets and others wait for. Blocks.
public final class TestFlag: Sendable {
    private let isSet = Mutex(false)

    public init() {}

    public func set() {
        self.isSet.withLock { $0 = true }
    }

    /// Returns when the flag is set, or after ``TestSocket/patience``.
    public func wait() {
        _ = try? eventually("a flag") { self.isSet.withLock { $0 } ? true : nil }
    }
}

/// Threads that do their part of a test beside the main one.
public final class Workers: Sendable {
    private struct State {
        var running = 0
        var errors: [any Error] = []
    }

    private let state = Mutex(State())

    public init() {}

    public func run(_ body: @escaping @Sendable () throws -> Void) {
        self.state.withLock { $0.running += 1 }
        Thread.detachNewThread {
            let result = Result { try body() }
            self.state.withLock { state in
                state.running -= 1
                if case .failure(let error) = result { state.errors.append(error) }
            }
        }
    }

    /// Waits for all of them; throws the first error of any.
    public func wait() throws {
        _ = try eventually("the workers") { self.state.withLock { $0.running == 0 } ? true : nil }
        if let error = self.state.withLock({ $0.errors.first }) { throw error }
    }
}
