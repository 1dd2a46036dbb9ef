public import NIOCore

/// Who a client is: the two ends of its connection, as its socket has them, or as the PROXY header of a balancer that is
/// trusted says. Made once, when the connection's first bytes are read, and used wherever the client's address matters.
public struct ClientAddress: Hashable, Sendable {
    /// The client's end; nil if it is not known.
    public var source: SocketAddress?
    /// The end at which the client arrived; nil if it is not known.
    public var destination: SocketAddress?

    public init(source: SocketAddress? = nil, destination: SocketAddress? = nil) {
        self.source = source
        self.destination = destination
    }

    /// The client's IP address, never in the IPv4-mapped form.
    public var address: IPAddress? { self.source.flatMap(IPAddress.init)?.unmapped }

    /// The PROXY header that passes this on.
    public var proxyProtocolHeader: ProxyProtocolHeader {
        ProxyProtocolHeader(source: self.source, destination: self.destination)
    }

    /// What a PROXY header says of the client; what the header leaves open is as the connection itself has it.
    public func replaced(by header: ProxyProtocolHeader) -> ClientAddress {
        guard let source = header.source, let destination = header.destination else { return self }
        return ClientAddress(source: source, destination: destination)
    }
}
