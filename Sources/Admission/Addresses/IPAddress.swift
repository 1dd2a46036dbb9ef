public import NIOCore

/// An IP address as a plain value, without port and zone.
public enum IPAddress: Hashable, Sendable {
    /// An IPv4 address in host order: 127.0.0.1 is `0x7f00_0001`.
    case v4(UInt32)
    /// An IPv6 address: its upper and lower 64 bits, in host order.
    case v6(UInt64, UInt64)

    /// Reads 4 or 16 bytes in network order; `nil` for any other count.
    public init?(bytes: some Collection<UInt8>) { self.init(bytes: Array(bytes)) }

    /// The same for an array, which most of them are.
    public init?(bytes: [UInt8]) {
        switch bytes.count {
        case 4: self = bytes.withUnsafeBytes { .v4(UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self))) }
        case 16:
            self = bytes.withUnsafeBytes {
                .v6(
                    UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
            }
        default: return nil
        }
    }

    /// The address of an IP socket address; `nil` for a Unix domain socket.
    public init?(_ address: SocketAddress) {
        switch address {
        // The address follows family and port (and, in IPv6, the flow label) in every system's sockaddr.
        case .v4(let v4):
            self = withUnsafeBytes(of: v4.address) {
                .v4(UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
            }
        case .v6(let v6):
            self = withUnsafeBytes(of: v6.address) {
                .v6(
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self)))
            }
        case .unixDomainSocket:
            return nil
        }
    }

    /// Reads the usual notation of either family; `nil` if it is not an IP address.
    public init?(_ text: String) {
        guard let address = try? SocketAddress(ipAddress: text, port: 0) else { return nil }
        self.init(address)
    }

    /// The 4 or 16 bytes in network order.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let value):
            withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
        case .v6(let upper, let lower):
            withUnsafeBytes(of: upper.bigEndian) { [UInt8]($0) } + withUnsafeBytes(of: lower.bigEndian) { [UInt8]($0) }
        }
    }

    /// An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) as the IPv4 address that it stands for; others as they are.
    public var unmapped: IPAddress {
        guard case .v6(0, let lower) = self, lower >> 32 == 0xffff else { return self }
        return .v4(UInt32(truncatingIfNeeded: lower))
    }

    /// This address with a port.
    public func socketAddress(port: UInt16) throws -> SocketAddress {
        try SocketAddress(packedIPAddress: ByteBuffer(bytes: self.bytes), port: Int(port))
    }
}

extension IPAddress: CustomStringConvertible {
    public var description: String {
        switch self {
        case .v4(let value): "\(value >> 24).\(value >> 16 & 0xFF).\(value >> 8 & 0xFF).\(value & 0xFF)"
        case .v6: (try? self.socketAddress(port: 0).ipAddress) ?? ""
        }
    }
}
