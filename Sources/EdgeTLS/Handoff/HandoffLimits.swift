/// Bounds on what a client may do while the key holder shakes hands with it.
enum HandoffLimits {
    /// Bytes of one flight of the client's, record headers included: what fits one packet of the key protocol beside the
    /// longest names.
    static let flightBytes = 64_000
    /// Bytes of one handshake that the key holder hears in sum, which is what it allows.
    static let handshakeBytes = 65_536
    /// Times that the client is heard between begin and the exported session: a HelloRetryRequest takes one, TLS 1.2 takes
    /// one, and each warning alert takes one.
    static let turns = 4
}
