public import NIOCore

/// A socket address as log lines show it: `192.0.2.1:443`, `[2001:db8::1]:443`, or `unknown`.
public struct PeerText: CustomStringConvertible {
    public var address: SocketAddress?

    public init(_ address: SocketAddress?) {
        self.address = address
    }

    public var description: String {
        guard let address, let ip = address.ipAddress, let port = address.port else { return "unknown" }
        return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }
}
