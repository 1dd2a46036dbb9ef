internal import NIOConcurrencyHelpers

/// How an edge stands with its fleet: what its health check and its heartbeat say. From any thread.
public final class FollowStatus: Sendable {
    public struct Value: Equatable, Sendable {
        /// The bus is there, and all that it had has been read.
        public var isFollowing = false
        /// The bus has a heartbeat of it.
        public var isListed = false
        /// What is wrong; nil: nothing, or not begun.
        public var problem: String?
        public var refused: Int64 = 0
        public var doubts: Int64 = 0
    }

    private let state = NIOLockedValueBox(Value())

    public init() {}

    public var value: Value { self.state.withLockedValue { $0 } }

    func change<Result>(_ body: (inout Value) -> Result) -> Result { self.state.withLockedValue(body) }
}

/// Tells once that an edge has caught up, to those that wait.
final class CatchUp: Sendable {
    private struct State {
        var isDone = false
        var waiters: [UInt64: CheckedContinuation<Bool, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = NIOLockedValueBox(State())

    func done() {
        let waiters = self.state.withLockedValue { state in
            state.isDone = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: true) }
    }

    /// - Returns: false after the time.
    func wait(milliseconds: Int64) async -> Bool {
        await withCheckedContinuation { continuation in
            let number: UInt64? = self.state.withLockedValue { state in
                if state.isDone { return nil }
                state.next += 1
                state.waiters[state.next] = continuation
                return state.next
            }
            guard let number else { return continuation.resume(returning: true) }
            Task {
                try? await Task.sleep(for: .milliseconds(milliseconds))
                self.state.withLockedValue { $0.waiters.removeValue(forKey: number) }?.resume(returning: false)
            }
        }
    }
}
