import Synchronization

/// Counts, from any thread.
public final class ManagedCounter: Sendable {
    private let count = Mutex(0)
    public init() {}
    public var value: Int { self.count.withLock { $0 } }
    public func increment() { self.count.withLock { $0 += 1 } }
}
