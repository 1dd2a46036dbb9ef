public import NIOCore
public import NativeHandshake
public import PeerLink

/// How a key holder serves the native handshake (docs/native-handshake.md).
public struct NativeConfiguration: Hashable, Sendable {
    /// Where edges open links for their native clients, over mutual TLS; none: only what the key holder dials carries them. Port 0 lets the
    /// system choose.
    public var listen: [PeerAddress]
    public var limits: NativeLimits

    public init(listen: [PeerAddress], limits: NativeLimits = NativeLimits()) {
        self.listen = listen
        self.limits = limits
    }
}

/// Bounds on native connections.
public struct NativeLimits: Hashable, Sendable {
    /// Clients of all edges at once.
    public var connections: Int = 10_000
    /// The same of one edge.
    public var connectionsPerEdge: Int = 5_000
    /// Links of one edge.
    public var linksPerEdge: Int = 128
    /// Streams that an edge opens per second, on all its links, refused ones included; as many at once.
    public var openingsPerEdge: Int = 5_000
    /// Frames that an edge sends per second, on all its links, with bursts of a fifth of that. Beyond that they are read more slowly.
    public var framesPerEdge: Int = 100_000
    /// By how many bytes the windows of an edge's streams may be larger than they are at first, on all its links.
    public var windowsPerEdge: Int = 64 << 20
    /// From the opening of a client's stream to the end of its handshake.
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
