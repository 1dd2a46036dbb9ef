public import Admission
public import NIOCore

/// What clients may take of an edge.
public struct EdgeLimits: Hashable, Sendable {
    /// Clients connected at once.
    public var connections = 100_000
    /// The largest ClientHello read, record headers included.
    public var helloBytes = 65_536
    public var helloTimeout = TimeAmount.seconds(10)
    /// From the hello to the end of a keyless handshake.
    public var handshakeTimeout = TimeAmount.seconds(15)
    /// Keep-alive connections without a request.
    public var idle = TimeAmount.seconds(60)
    public var requestHeadBytes = 65_536
    /// Clients connected at once from one network; nil: an eighth of all.
    public var connectionsPerClient: Int?
    /// Handshakes per second, in the long run, that key holders are asked for on behalf of one network; four times as
    /// many at once.
    public var handshakesPerClient = 50
    /// Networks without these two bounds.
    public var exempt: [IPNetwork] = []
    /// The bits of an IPv6 address that make a network.
    public var ipv6PrefixLength = ClientNetwork.usualIPv6PrefixLength
    /// Bytes per second that clients and origins have to move while the edge waits for them, measured over a window; 0: any.
    public var minimumRate = 1024
    public var minimumRateWindow = TimeAmount.seconds(60)

    public init() {}
}
