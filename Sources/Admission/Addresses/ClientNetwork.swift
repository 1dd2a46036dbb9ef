public import NIOCore

/// What counts as one client where there are bounds: as many addresses as one sender can choose from. An IPv4 address, or
/// 64 bits of an IPv6 address, unless another length is wanted. What has no IP address is one client, too.
public struct ClientNetwork: Hashable, Sendable, CustomStringConvertible {
    /// The bits of an IPv6 address that one client shares (RFC 6177: a site has at least a /64).
    public static let usualIPv6PrefixLength = 64

    private let address: IPAddress?

    public init(_ address: IPAddress?, ipv6PrefixLength: Int = Self.usualIPv6PrefixLength) {
        self.address = address.map { address in
            let address = address.unmapped
            return if case .v6 = address { address.prefix(ipv6PrefixLength) } else { address }
        }
    }

    public init(_ address: SocketAddress?, ipv6PrefixLength: Int = Self.usualIPv6PrefixLength) {
        self.init(address.flatMap(IPAddress.init), ipv6PrefixLength: ipv6PrefixLength)
    }

    public var description: String { self.address.map { "\($0)" } ?? "unknown" }
}
