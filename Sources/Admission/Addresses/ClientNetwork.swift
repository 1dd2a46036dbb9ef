public import NIOCore

/// What counts as one client where there are bounds: as many addresses as one sender can choose from. An IPv4 address, or
/// 64 bits of an IPv6 address, unless another length is wanted. What has no IP address is one client, too.
public struct ClientNetwork: Hashable, Sendable, CustomStringConvertible {
    /// The bits of an IPv6 address that one client shares (RFC 6177: a site has at least a /64).
    public static let usualIPv6PrefixLength = 64
    /// The bits that the networks of one block share: RFC 6177 has sites get up to a /48.
    private static let blockPrefixLength = 48

    private let address: IPAddress?
    /// It has no bounds of its own. Each of its addresses is a network by itself, so that exempt clients take turns, too.
    public let isExempt: Bool

    public init(_ address: IPAddress?, ipv6PrefixLength: Int = Self.usualIPv6PrefixLength) {
        self.isExempt = false
        self.address = address.map { address in
            let address = address.unmapped
            return if case .v6 = address { address.prefix(ipv6PrefixLength) } else { address }
        }
    }

    public init(_ address: SocketAddress?, ipv6PrefixLength: Int = Self.usualIPv6PrefixLength) {
        self.init(address.flatMap(IPAddress.init), ipv6PrefixLength: ipv6PrefixLength)
    }

    private init(_ address: IPAddress?, isExempt: Bool) {
        self.address = address
        self.isExempt = isExempt
    }

    /// One address that no bound for one client holds.
    public static func exempt(_ address: IPAddress?) -> ClientNetwork {
        ClientNetwork(address?.unmapped, isExempt: true)
    }

    /// What it shares a place with where networks take turns: the /48 of an IPv6 network, since that many one sender may
    /// have; of all else, itself.
    public var block: ClientNetwork {
        guard self.hasBlock else { return self }
        return ClientNetwork(self.address?.prefix(Self.blockPrefixLength), isExempt: false)
    }

    /// Whether it shares its ``block`` with others. Its first /64 has the block's own address.
    var hasBlock: Bool {
        guard !self.isExempt, case .v6? = self.address else { return false }
        return true
    }

    public var description: String { self.address.map { "\($0)" } ?? "unknown" }
}
