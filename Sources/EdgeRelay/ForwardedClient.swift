public import Admission
public import Channels
public import NIOCore
public import TLSWire

/// A client connection whose first bytes were read and routed, and which is passed on: to an origin, or to a key holder.
///
/// The taker is on the channel's event loop and adds its handlers before it returns. The channel's `autoRead` is off, no read is outstanding, and
/// half-closure by the client is allowed. Even so, bytes and the end of the input may still arrive unasked: NIO reads a socket dry when it
/// learns that the peer has closed its side.
public struct ForwardedClient: Sendable {
    /// The connection's number, for log lines, if it has one.
    public var connection: UInt64?
    /// The client's addresses. Those of the channel may be a balancer's.
    public var address: ClientAddress
    /// The client's network, for what is bounded by client.
    public var network: ClientNetwork
    /// The connection among the others of this edge, if they are counted.
    public var place: ClientPlace?
    /// The client's connection.
    public var channel: any Channel
    /// The name of the site.
    public var site: String
    /// The name that the client asked for; `nil` if it sent none and the default site serves it.
    public var serverName: ServerName?
    /// Every byte that the client sent so far: sent on first.
    public var receivedBytes: ByteBuffer

    public init(
        connection: UInt64?, address: ClientAddress, network: ClientNetwork, place: ClientPlace?,
        channel: any Channel, site: String, serverName: ServerName?, receivedBytes: ByteBuffer
    ) {
        self.connection = connection
        self.address = address
        self.network = network
        self.place = place
        self.channel = channel
        self.site = site
        self.serverName = serverName
        self.receivedBytes = receivedBytes
    }
}
