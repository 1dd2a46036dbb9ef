public import NIOCore
import Synchronization

/// One client's connection among all of a listener's. Whether it rests is written by its own event loop, and read by
/// the one that looks for a connection that may give way.
public final class ClientPlace: Sendable {
    /// The connection's number, for log lines; rises.
    public let id: UInt64
    public let channel: any Channel
    /// Nanoseconds of uptime; 0 while something is under way.
    private let restsSince = Atomic<UInt64>(0)

    /// A connection that rested for less than this may have its next request on the way.
    private static let shortest: UInt64 = 1_000_000_000

    public init(id: UInt64, channel: any Channel) {
        self.id = id
        self.channel = channel
    }

    /// A request, or a tunnel, is under way.
    public func works() { self.restsSince.store(0, ordering: .relaxed) }

    /// Nothing is under way from now on, or what can't be told from rest was last seen moving now.
    public func rests(since now: NIODeadline) {
        self.restsSince.store(max(1, now.uptimeNanoseconds), ordering: .relaxed)
    }

    public func mayGiveWay(now: NIODeadline) -> Bool {
        let since = self.restsSince.load(ordering: .relaxed)
        return since != 0 && now.uptimeNanoseconds >= since &+ Self.shortest
    }
}
