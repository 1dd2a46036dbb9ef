public import TLSWire

/// Who sent something.
public enum Peer: Equatable, Sendable {
    case client
    case server
}

/// What can be seen of a TLS handshake from outside, without any key.
public enum WireEvent: Equatable, Sendable {
    /// The client's hello; `second` if it answers a HelloRetryRequest.
    case clientHello(ClientHello, second: Bool)
    case serverHello(ServerHello)
    case helloRetryRequest(ServerHello)
    /// TLS 1.2: the server's key exchange, and its group where it is an ECDHE one.
    case serverKeyExchange(group: UInt16?)
    /// Any other handshake message that is sent in the clear, by its type.
    case handshakeMessage(Peer, type: UInt8)
    /// From here on this peer's records are encrypted.
    case encrypted(Peer)
    /// An alert in the clear.
    case alert(Peer, code: UInt8)
    /// The server's first bytes are no TLS record.
    case notTLS
}
