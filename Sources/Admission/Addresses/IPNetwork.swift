/// A network in CIDR notation (RFC 4632, RFC 4291 §2.3): `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
///
/// IPv4-mapped IPv6 addresses are the IPv4 addresses that they stand for, here and in ``contains(_:)``.
public struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
    /// The first address of the network.
    public let address: IPAddress
    /// 0...32 for IPv4, 0...128 for IPv6.
    public let prefixLength: Int

    /// Why a text is no network.
    public enum ParsingError: Error, Equatable {
        case notAnAddress
        case badPrefixLength(maximum: Int)
        /// Bits behind the prefix are set; what was meant may be this.
        case bitsBehindPrefix(IPNetwork)
    }

    /// The network of this prefix length around an address; lengths beyond the family's are its longest.
    public init(around address: IPAddress, prefixLength: Int) {
        let address = address.unmapped
        self.prefixLength = max(0, min(prefixLength, address.bitCount))
        self.address = address.prefix(self.prefixLength)
    }

    /// Reads an address, or an address, a slash and a prefix length.
    public init(parsing text: String) throws(ParsingError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { throw .notAnAddress }
        guard parts.count == 2 else {
            self.init(around: address, prefixLength: 128)
            return
        }
        let digits = parts[1]
        guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            digits == "0" || digits.first != "0", var length = Int(digits), length <= address.bitCount
        else { throw .badPrefixLength(maximum: address.bitCount) }
        if address.unmapped != address {
            guard length >= 96 else { throw .badPrefixLength(maximum: 128) }
            length -= 96
        }
        self.init(around: address, prefixLength: length)
        guard self.address == address.unmapped else { throw .bitsBehindPrefix(self) }
    }

    /// Whether the address lies in the network.
    public func contains(_ address: IPAddress) -> Bool {
        let address = address.unmapped
        return address.bitCount == self.address.bitCount && address.prefix(self.prefixLength) == self.address
    }

    public var description: String { "\(self.address)/\(self.prefixLength)" }
}

extension IPAddress {
    /// 32 or 128.
    var bitCount: Int {
        if case .v4 = self { 32 } else { 128 }
    }

    /// This address with every bit behind the first `length` cleared.
    func prefix(_ length: Int) -> IPAddress {
        switch self {
        case .v4(let value): .v4(value & ~(length >= 32 ? 0 : UInt32.max >> UInt32(length)))
        case .v6(let upper, let lower):
            .v6(
                upper & ~(length >= 64 ? 0 : UInt64.max >> UInt64(length)),
                lower & ~(length >= 128 ? 0 : length <= 64 ? UInt64.max : UInt64.max >> UInt64(length - 64)))
        }
    }
}

extension Sequence<IPNetwork> {
    /// Whether the address lies in one of the networks.
    @inlinable public func contain(_ address: IPAddress?) -> Bool {
        guard let address else { return false }
        return self.contains { $0.contains(address) }
    }
}
