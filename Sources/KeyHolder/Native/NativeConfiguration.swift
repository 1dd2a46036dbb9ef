public import NIOCore
public import NativeHandshake
public import PeerLink

/// How a key holder serves the native handshake (docs/native-handshake.md).
public struct NativeConfiguration: Hashable, Sendable {
    /// Where edges forward native connections to; one connection for each client, over mutual TLS. Port 0 lets the system
    /// choose.
    public var listen: [PeerAddress]
    public var limits: NativeLimits

    public init(listen: [PeerAddress], limits: NativeLimits = NativeLimits()) {
        self.listen = listen
        self.limits = limits
    }
}

/// Bounds on native connections.
public struct NativeLimits: Hashable, Sendable {
    /// Connections of all edges at once.
    public var connections: Int = 10_000
    /// The same of one edge.
    public var connectionsPerEdge: Int = 5_000
    /// From the edge's TLS handshake to the end of the client's native one.
    public var handshakeTimeout: TimeAmount = .seconds(15)
    /// For the connection to the application.
    public var connectTimeout: TimeAmount = .seconds(5)
    /// Without a byte in either direction.
    public var idleTimeout: TimeAmount = .minutes(5)

    public init() {}
}

/// What stands behind a site for native clients: it gets the data in the clear.
public struct ApplicationConfiguration: Hashable, Sendable {
    public enum Address: Hashable, Sendable {
        case tcp(host: String, port: Int)
        /// A Unix socket's path.
        case unix(path: String)
    }

    public var address: Address
    /// Whether it is told the client's address by a PROXY protocol header, version 2.
    public var proxyProtocol: Bool
    /// Which of the two key agreements clients may use.
    public var variants: Set<NativeVariant>

    public init(
        address: Address, proxyProtocol: Bool = false, variants: Set<NativeVariant> = Set(NativeVariant.allCases)
    ) {
        self.address = address
        self.proxyProtocol = proxyProtocol
        self.variants = variants
    }
}
