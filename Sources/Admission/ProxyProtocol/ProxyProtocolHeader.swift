public import NIOCore

/// The PROXY protocol header (haproxy.org, "The PROXY protocol", versions 1 and 2) for one connection that is passed on.
///
/// Pure. Where the addresses are not a pair of one family, an IPv4 address is written in its IPv4-mapped IPv6 form; where
/// one of them is unknown, version 1 says `UNKNOWN` and version 2 `AF_UNSPEC`, which the receiver takes as "proxied, but use
/// the connection's own addresses".
public struct ProxyProtocolHeader: Hashable, Sendable {
    private var sourceEndpoint: Endpoint?
    private var destinationEndpoint: Endpoint?

    private struct Endpoint: Hashable {
        var address: IPAddress
        var port: UInt16

        init?(_ address: SocketAddress?) {
            guard let address, let ip = IPAddress(address), let port = address.port.flatMap(UInt16.init(exactly:))
            else { return nil }
            self.init(ip, port)
        }

        init(_ address: IPAddress, _ port: UInt16) {
            self.address = address.unmapped
            self.port = port
        }

        var isV4: Bool {
            if case .v4 = self.address { true } else { false }
        }

        var socketAddress: SocketAddress? { try? self.address.socketAddress(port: self.port) }

        /// 16 bytes, IPv4-mapped if need be.
        var v6Bytes: [UInt8] {
            self.isV4 ? [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + self.address.bytes : self.address.bytes
        }
    }

    /// Describes a connection.
    ///
    /// - Parameters:
    ///   - source: The client's address.
    ///   - destination: The address at which the client reached the edge.
    public init(source: SocketAddress?, destination: SocketAddress?) {
        self.sourceEndpoint = Endpoint(source)
        self.destinationEndpoint = Endpoint(destination)
    }

    init(source: (IPAddress, UInt16), destination: (IPAddress, UInt16)) {
        self.sourceEndpoint = Endpoint(source.0, source.1)
        self.destinationEndpoint = Endpoint(destination.0, destination.1)
    }

    /// The client's address, never in the IPv4-mapped form; nil if it is not known.
    public var source: SocketAddress? { self.sourceEndpoint?.socketAddress }

    /// The address at which the client arrived; nil if it is not known.
    public var destination: SocketAddress? { self.destinationEndpoint?.socketAddress }

    /// The header's bytes; `nil` for ``ProxyProtocolVersion/none``.
    public func encoded(_ version: ProxyProtocolVersion) -> ByteBuffer? {
        switch version {
        case .none: nil
        case .v1: ByteBuffer(string: self.text)
        case .v2: self.binary
        }
    }

    /// Version 1: at most 107 characters.
    private var text: String {
        guard let source = self.sourceEndpoint, let destination = self.destinationEndpoint else {
            return "PROXY UNKNOWN\r\n"
        }
        if source.isV4 && destination.isV4 {
            return "PROXY TCP4 \(source.address) \(destination.address) \(source.port) \(destination.port)\r\n"
        }
        return "PROXY TCP6 \(Self.v6Text(source)) \(Self.v6Text(destination)) \(source.port) \(destination.port)\r\n"
    }

    private static func v6Text(_ endpoint: Endpoint) -> String {
        endpoint.isV4 ? "::ffff:\(endpoint.address)" : "\(endpoint.address)"
    }

    /// Version 2: 16 bytes of signature, version, family and length, then 12 or 36 bytes of addresses and ports.
    private var binary: ByteBuffer {
        var header = ByteBuffer()
        header.writeBytes(ProxyProtocolReader.signature)
        header.writeInteger(UInt8(0x21))  // version 2, command PROXY
        guard let source = self.sourceEndpoint, let destination = self.destinationEndpoint else {
            header.writeInteger(UInt8(0x00))  // AF_UNSPEC
            header.writeInteger(UInt16(0))
            return header
        }
        if source.isV4 && destination.isV4 {
            header.writeInteger(UInt8(0x11))  // AF_INET, SOCK_STREAM
            header.writeInteger(UInt16(12))
            header.writeBytes(source.address.bytes)
            header.writeBytes(destination.address.bytes)
        } else {
            header.writeInteger(UInt8(0x21))  // AF_INET6, SOCK_STREAM
            header.writeInteger(UInt16(36))
            header.writeBytes(source.v6Bytes)
            header.writeBytes(destination.v6Bytes)
        }
        header.writeInteger(source.port)
        header.writeInteger(destination.port)
        return header
    }
}

/// The PROXY protocol header in front of a connection's bytes.
public enum ProxyProtocolVersion: String, Sendable, CaseIterable {
    /// No header.
    case none
    /// The text header.
    case v1
    /// The binary header.
    case v2
}
