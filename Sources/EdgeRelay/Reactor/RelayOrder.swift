import Admission
import Channels
import NIOCore

/// A client that is handed to a reactor.
struct RelayedClient: Sendable {
    /// What is known of where it goes.
    enum Goal: Sendable {
        /// Its origin's name is being resolved.
        case unresolved
        case origins([SocketAddress])
        case nowhere(RelayFailure)
    }

    /// One number for each that is ever relayed.
    var id: UInt64
    var socket: Descriptor
    /// What the client sent so far.
    var received: ByteBuffer
    /// Sent to the origin before that.
    var header: ByteBuffer?
    var goal: Goal
    var limits: Limits
    /// As of ``RelayFailure/alert(clientChoseOrigin:)``.
    var clientChoseOrigin: Bool
    var report: ForwardingReport
    var place: ClientPlace?
    /// What its event loop wants to hear of it.
    var notices: Notices

    struct Limits: Sendable {
        /// For finding and reaching an origin.
        var connect: NIODeadline
        var idle: TimeAmount
        var lifetime: TimeAmount
        /// Bounds for closing a client that could not be connected.
        var linger: LingerLimits
    }

    struct Notices: Sendable {
        /// Its connection is closed, whatever became of it.
        var closed: NIOLoopBound<() -> Void>?
        /// No origin is wanted any more for it.
        var abandoned: NIOLoopBound<() -> Void>?
    }
}

/// What event loops tell a reactor.
enum RelayOrder: Sendable {
    case take(RelayedClient)
    /// What was found for the client of this number.
    case found(UInt64, RelayedClient.Goal)
    /// Its connection is to be closed.
    case close(UInt64)
    /// All connections are to be closed, and the reactor's thread is to end.
    case stop
}
