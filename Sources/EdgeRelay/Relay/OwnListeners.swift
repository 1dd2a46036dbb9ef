public import Admission
public import NIOCore

/// The addresses that this edge itself listens on, so that it never relays to itself in a circle.
///
/// A pure value: the machine's interface addresses are an argument, since they may change while the edge runs.
/// It cannot see an address that leads back here by way of another machine, such as the outer side of a NAT.
public struct OwnListeners: Sendable {
    private var exact: Set<Endpoint> = []
    private var wildcardPorts: Set<UInt16> = []

    private struct Endpoint: Hashable {
        var address: IPAddress
        var port: UInt16
    }

    /// Takes the addresses that the listeners are bound to; a wildcard address stands for every interface's.
    public init(_ listeners: [SocketAddress]) {
        for listener in listeners {
            guard let address = IPAddress(listener)?.unmapped, let port = listener.port.flatMap(UInt16.init(exactly:))
            else { continue }
            if address == .v4(0) || address == .v6(0, 0) {
                self.wildcardPorts.insert(port)
            } else {
                self.exact.insert(Endpoint(address: address, port: port))
            }
        }
    }

    /// Whether a listener covers all interfaces at this port, so that ``contains(_:port:interfaces:)`` needs to know them.
    public func hasWildcard(port: UInt16) -> Bool {
        self.wildcardPorts.contains(port)
    }

    /// Whether a connection to this address and port would arrive at one of the listeners.
    ///
    /// - Parameter interfaces: The addresses of this machine's interfaces; read only for ports with a wildcard listener.
    public func contains(_ address: IPAddress, port: UInt16, interfaces: () -> Set<IPAddress>) -> Bool {
        let address = address.unmapped
        // The system takes an unspecified destination as this machine.
        let isUnspecified = address == .v4(0) || address == .v6(0, 0)
        if isUnspecified {
            return self.wildcardPorts.contains(port) || self.exact.contains { $0.port == port }
        }
        if self.exact.contains(Endpoint(address: address, port: port)) { return true }
        guard self.wildcardPorts.contains(port) else { return false }
        return AddressPolicy.classify(address) == .loopback || interfaces().contains(address)
    }
}
