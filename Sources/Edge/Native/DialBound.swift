import NIOCore

/// How many connections to key holders may be under way at once, in all and for the clients of one network. Pure.
///
/// Each costs the key holder a TLS handshake, before anything is known of the client but its hello: without a bound, whoever
/// sends hellos spends the key holder's time.
///
/// Our bug: an end without a beginning; ignored.
struct DialBound {
    private let total: Int
    private let perNetwork: Int
    private(set) var underWay = 0
    private var networks: [ClientNetwork: Int] = [:]

    init(total: Int, perNetwork: Int) {
        self.total = total
        self.perNetwork = perNetwork
    }

    mutating func begin(_ network: ClientNetwork) -> Bool {
        let count: Int = self.networks[network] ?? 0
        guard self.underWay < self.total, count < self.perNetwork else { return false }
        self.underWay += 1
        self.networks[network] = count + 1
        return true
    }

    mutating func end(_ network: ClientNetwork) {
        guard let count = self.networks[network] else { return }
        self.underWay -= 1
        self.networks[network] = count > 1 ? count - 1 : nil
    }
}

/// Where a client comes from, as coarse as one sender can often choose: 24 bits of an IPv4 address, or 64 of an IPv6 address.
struct ClientNetwork: Hashable, Sendable {
    /// 3 or 8 bytes; none for what has no IP address.
    private let bytes: [UInt8]

    init(_ address: SocketAddress?) {
        switch address {
        case .v4(let address):
            // sockaddr_in: the address stands behind family and port.
            self.bytes = withUnsafeBytes(of: address.address) { Array($0[4..<7]) }
        case .v6(let address):
            // sockaddr_in6: behind family, port and flow.
            let all: [UInt8] = withUnsafeBytes(of: address.address) { Array($0[8..<24]) }
            // ::ffff:0:0/96, RFC 4291 section 2.5.5.2: IPv4 at a listener for both.
            let mapped: [UInt8] = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]
            self.bytes = all.starts(with: mapped) ? Array(all[12..<15]) : Array(all.prefix(8))
        case .unixDomainSocket, nil:
            self.bytes = []
        }
    }
}
