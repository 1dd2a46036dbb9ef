/// What the server tells a connection, as a user event.
enum ConnectionCommand: Sendable {
    /// Serve nothing more and close: the edge or its authority was struck off.
    case cutOff
    /// Grants of the edge, or what they are for, have changed.
    case reconsider
    /// Give way to a newer connection, if the handshake is still under way.
    case evict
    /// Take no more requests, finish those under way, then close.
    case drain
    /// No key may be used any more, since another process is to write the audit: native handshakes end, streams of data go on.
    case endHandshakes
}
