public import NIOCore
public import NIOHTTP1
public import NativeClient

/// What happens on the way to a response, in order.
public enum ClientEvent: Sendable {
    /// The TCP connection stands.
    case connected(address: String)
    case wire(WireEvent)
    /// The chain as the server sent it, leaf first.
    case certificates([CertificateSummary])
    /// The chain is verified; the path leads from leaf to root.
    case verified(path: [CertificateSummary])
    /// The handshake is complete on this side, with the ALPN protocol that was chosen.
    case handshakeCompleted(applicationProtocol: String?)
    case requestSent
    case responseHead(HTTPResponseHead)
    case responseBody(ByteBuffer)
    /// The response is complete.
    case responseEnd(bodyBytes: Int)
}

/// An event, and when it happened: since the client began to connect.
public struct TimedClientEvent: Sendable {
    public var event: ClientEvent
    public var time: TimeAmount

    public init(event: ClientEvent, time: TimeAmount) {
        self.event = event
        self.time = time
    }
}
