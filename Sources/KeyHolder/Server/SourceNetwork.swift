import NIOCore

/// Where a connection comes from, as coarse as one sender can choose: an IPv4 address, or 64 bits of an IPv6 address.
struct SourceNetwork: Hashable, Sendable {
    /// 4 or 8 bytes; none for what has no IP address.
    private let bytes: [UInt8]

    init(_ address: SocketAddress?) {
        switch address {
        case .v4(let address):
            // sockaddr_in: the address stands behind family and port.
            self.bytes = withUnsafeBytes(of: address.address) { Array($0[4..<8]) }
        case .v6(let address):
            // sockaddr_in6: behind family, port and flow.
            let all: [UInt8] = withUnsafeBytes(of: address.address) { Array($0[8..<24]) }
            // ::ffff:0:0/96, RFC 4291 section 2.5.5.2: IPv4 at a listener for both.
            let mapped: [UInt8] = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]
            self.bytes = all.starts(with: mapped) ? Array(all.suffix(4)) : Array(all.prefix(8))
        case .unixDomainSocket, nil:
            self.bytes = []
        }
    }
}
