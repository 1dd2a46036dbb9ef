/// What the server tells a connection, as a user event.
enum ConnectionCommand: Sendable {
    /// Answer nothing more, close now: the edge or its authority was struck off.
    case cutOff
    /// Give way to a newer connection, if the handshake is still under way.
    case evict
    /// Take no more requests, finish those under way, then close.
    case drain
}
