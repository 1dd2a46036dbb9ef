public import NIOCore

/// The PROXY protocol header (haproxy.org, "The PROXY protocol", versions 1 and 2) for one relayed connection.
///
/// Pure. Where the addresses are not a pair of one family, an IPv4 address is written in its IPv4-mapped IPv6 form; where
/// one of them is unknown, version 1 says `UNKNOWN` and version 2 `AF_UNSPEC`, which the receiver takes as "proxied, but use
/// the connection's own addresses".
public struct ProxyHeader: Equatable, Sendable {
    private var source: Endpoint?
    private var destination: Endpoint?

    private struct Endpoint: Equatable {
        var address: IPAddress
        var port: UInt16

        init?(_ address: SocketAddress?) {
            guard let address, let ip = IPAddress(address)?.unmapped,
                let port = address.port.flatMap(UInt16.init(exactly:))
            else { return nil }
            self.address = ip
            self.port = port
        }

        var isV4: Bool {
            if case .v4 = self.address { true } else { false }
        }

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
        self.source = Endpoint(source)
        self.destination = Endpoint(destination)
    }

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
        guard let source, let destination else { return "PROXY UNKNOWN\r\n" }
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
        header.writeBytes([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
        header.writeInteger(UInt8(0x21))  // version 2, command PROXY
        guard let source, let destination else {
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
