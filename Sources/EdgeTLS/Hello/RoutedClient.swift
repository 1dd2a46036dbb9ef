package import Admission
package import Channels
package import EdgeModel
package import NIOCore
package import TLSWire

/// A client connection whose ClientHello was read and routed.
///
/// The taker is on the channel's event loop and must add its handlers to the pipeline before it returns.
/// The channel's `autoRead` is off and no read is outstanding. Even so, bytes and the end of the input may still arrive
/// unasked: NIO reads a socket dry when it learns that the peer has closed its side.
///
/// Half-closure by the client is allowed; a handshake ends with it.
///
/// By reference: all that goes on with a handshake refers to it, and a copy would copy site and hello.
package final class RoutedClient {
    /// The connection's number, for log lines, if it has one.
    package let connection: UInt64?
    /// Who the client is. The address of the channel may be a balancer's.
    package let client: ClientAddress
    /// The client's network.
    package var network = ClientNetwork(nil as IPAddress?)
    /// The connection among the others of this edge, if they are counted.
    package var place: ClientPlace?
    /// The client's connection.
    package let channel: any Channel
    /// Where it goes.
    package let site: Site
    /// What it sent, parsed.
    package let hello: ClientHello
    /// The name that it asked for; `nil` if it sent none and the default site serves it.
    package var serverName: ServerName? { self.hello.serverName }
    /// Every byte that it sent so far, for the taker to use first; may hold more than the ClientHello.
    package var receivedBytes = ByteBuffer()

    init(connection: UInt64?, client: ClientAddress, channel: any Channel, site: Site, hello: ClientHello) {
        self.connection = connection
        self.client = client
        self.channel = channel
        self.site = site
        self.hello = hello
    }
}
