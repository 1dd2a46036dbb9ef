public import Admission
public import NIOCore

/// How a site in `relay` mode is served.
public struct RelayConfiguration: Hashable, Sendable {
    /// Where the site's own TLS server is.
    public var origin: RelayOrigin
    /// Where the site's origin answers HTTP, for the challenges of authorities that come to the edge's port without TLS; nil: nowhere, and
    /// they are not found.
    public var http: PlainOrigin?
    /// The header that tells the origin the client's address, if it wants one.
    public var proxyProtocol: ProxyProtocolVersion
    /// The limit for finding and reaching the origin: DNS and every connection attempt together.
    public var connectTimeout: TimeAmount
    /// A connection that carries no byte in either direction for this long is closed.
    public var idleTimeout: TimeAmount
    /// A connection is closed after this long, whatever it does.
    public var lifetime: TimeAmount

    /// Makes a configuration; the defaults are no PROXY header, 5 s to connect, 5 min idle, 24 h lifetime.
    public init(
        origin: RelayOrigin, proxyProtocol: ProxyProtocolVersion = .none, connectTimeout: TimeAmount = .seconds(5),
        idleTimeout: TimeAmount = .minutes(5), lifetime: TimeAmount = .hours(24)
    ) {
        self.origin = origin
        self.proxyProtocol = proxyProtocol
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
        self.lifetime = lifetime
    }
}

/// An origin without TLS: an IP address or a name, and a port.
public struct PlainOrigin: Hashable, Sendable {
    public var host: String
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
}

/// Where relayed connections go.
public enum RelayOrigin: Hashable, Sendable {
    /// Always to this host, an IP address or a name, and port. The operator chose it, so it may be private.
    case fixed(host: String, port: UInt16)
    /// To the requested name as DNS resolves it, at the first of these ports; no other port is ever tried.
    /// Addresses that are not public are refused unless `allowPrivate` is set, see the edge's `AddressPolicy`.
    case resolve(ports: [UInt16], allowPrivate: Bool)
}
