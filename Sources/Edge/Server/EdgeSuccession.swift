public import Channels

/// What a process finds when it takes an edge over from the one before, or is given sockets by systemd.
public struct EdgeSuccession: Sendable {
    /// Taken instead of being bound, where the configuration has their addresses.
    public var inherited = InheritedListeners()
    /// The process before, if there is one.
    public var predecessor: Predecessor?

    /// An edge that serves until this one is ready.
    public struct Predecessor: Sendable {
        /// Has it let go of the disk store and its place in the fleet, and tells which domains it serves.
        public var claim: @Sendable () async throws -> Set<String>
        /// Has it accept no more at these listeners, by their numbers. When this returns, they are this process's.
        public var relieve: @Sendable (Set<Int>) async throws -> Void
        /// Has it forget what it stores. Returns when it has, or is gone.
        public var purge: @Sendable () async -> Void

        public init(
            claim: @escaping @Sendable () async throws -> Set<String>,
            relieve: @escaping @Sendable (Set<Int>) async throws -> Void, purge: @escaping @Sendable () async -> Void
        ) {
            self.claim = claim
            self.relieve = relieve
            self.purge = purge
        }
    }

    public init() {}
}
