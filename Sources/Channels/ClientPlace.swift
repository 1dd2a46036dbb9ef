public import NIOCore
import Synchronization

/// What carries a client's connection once it has left its channel.
public protocol ClientCarrier: Sendable {
    /// Closes the connection. On any thread; returns at once.
    func close()
}

/// One client's connection among all of a listener's. Whether it rests is written by what carries it, and read by
/// the one that looks for a connection that may give way.
public final class ClientPlace: Sendable {
    /// The connection's number, for log lines; rises.
    public let id: UInt64
    private let state: Mutex<State>
    /// Nanoseconds of uptime; 0 while something is under way.
    private let restsSince = Atomic<UInt64>(0)

    private enum Carrier: Sendable {
        case channel(any Channel)
        case other(any ClientCarrier)
    }

    private struct State: Sendable {
        var carrier: Carrier
        /// What carried the connection before may not have carried that out.
        var isToClose = false
    }

    /// A connection that rested for less than this may have its next request on the way.
    private static let shortest: UInt64 = 1_000_000_000

    public init(id: UInt64, channel: any Channel) {
        self.id = id
        self.state = Mutex(State(carrier: .channel(channel)))
    }

    /// Its channel; nil: it has left that.
    public var channel: (any Channel)? {
        self.state.withLock { state -> (any Channel)? in
            if case .channel(let channel) = state.carrier { channel } else { nil }
        }
    }

    /// Something else carries it from now on, and its channel's end means nothing any more. A close that was asked for before is the new
    /// carrier's to carry out: the channel may not have come to it.
    public func move(to carrier: some ClientCarrier) {
        let isToClose = self.state.withLock { state in
            state.carrier = .other(carrier)
            return state.isToClose
        }
        if isToClose { carrier.close() }
    }

    /// Closes the connection.
    public func close() {
        let carrier = self.state.withLock { state in
            state.isToClose = true
            return state.carrier
        }
        switch carrier {
        case .channel(let channel): channel.close(promise: nil)
        case .other(let carrier): carrier.close()
        }
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
