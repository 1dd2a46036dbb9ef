public import NIOCore

/// What one address of a key holder says of this edge's lease.
public enum LeaseNews: Sendable {
    /// The lease stands, from now on for so long. `changed`: grants or certificates are others than this address has said
    /// before, or it has not said any over this connection.
    case renewed(lease: TimeAmount, changed: Bool)
    /// There is none: no grant, or a key holder that knows no leases.
    case ended(LinkFailure)
    /// The connection has ended. The lease stands until its time is over.
    case disconnected
}
