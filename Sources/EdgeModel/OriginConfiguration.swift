public import NIOCore

/// Where a site's origin is, and how it is reached.
public struct OriginConfiguration: Hashable, Sendable {
    public enum Scheme: String, Sendable { case http, https }

    /// Who must have signed an https origin's certificate.
    public enum TrustRoots: Hashable, Sendable {
        /// The system's authorities.
        case system
        /// The authorities in a PEM file.
        case file(String)
    }

    public var scheme: Scheme
    /// A DNS name, or an IP address without brackets: where to connect to.
    public var host: String
    /// 1...65535.
    public var port: Int
    /// The name that an https origin's certificate must have, also sent as SNI; `nil`: `host`.
    public var tlsName: String?
    public var trustRoots: TrustRoots
    /// From the start of a connection to its readiness, name resolution and TLS handshake included. Default 5 s.
    public var connectTimeout: TimeAmount
    /// How long the origin may stay silent when it is its turn: before the response's head, between parts of its body,
    /// and while it takes no more of the request's body. Default 60 s.
    public var responseTimeout: TimeAmount
    /// Bytes per second that the origin takes of a request's body, or sends of a response whose length it has announced, while it is
    /// what the edge waits for. Others may have nothing to send for a while. 0 turns it off. Default 1 KiB.
    public var minimumRate: Int = 1024
    /// What ``minimumRate`` is measured over, again and again. Default 60 s.
    public var rateWindow: TimeAmount = .seconds(60)
    /// Connections in use at once, for each event loop; those that changed their protocol don't count. Default 1024.
    public var maximumConnections: Int
    /// How much of ``maximumConnections`` one client's network may use once half of them are in use, in percent. Its further
    /// requests wait. Default 25.
    public var clientShare: Int = 25
    /// Requests that wait for a connection, for each event loop; they wait no longer than
    /// ``connectTimeout``. Beyond either limit: 503. Default 1024.
    public var maximumWaitingRequests: Int
    /// Connections kept for later requests, for each event loop. Default 64.
    public var maximumIdleConnections: Int
    /// How long a connection is kept unused. Shorter than the origin's own keep-alive time avoids lost requests.
    /// Default 30 s.
    public var idleTimeout: TimeAmount
    /// How old a connection may be and still get another request, from the look-up of the origin's name on. So a change in DNS
    /// is followed within this time under steady traffic, too. Default 60 s.
    public var maximumConnectionAge: TimeAmount = .seconds(60)
    /// Whether `Location` and `Content-Location` that name the origin's own scheme and port are written anew with the client's.
    /// Default true.
    public var rewritesLocation = true
    /// The largest response head, in bytes. Default 128 KiB.
    public var maximumHeadBytes: Int

    public init(
        scheme: Scheme, host: String, port: Int? = nil, tlsName: String? = nil, trustRoots: TrustRoots = .system,
        connectTimeout: TimeAmount = .seconds(5), responseTimeout: TimeAmount = .seconds(60),
        maximumConnections: Int = 1024, maximumWaitingRequests: Int = 1024, maximumIdleConnections: Int = 64,
        idleTimeout: TimeAmount = .seconds(30), maximumHeadBytes: Int = 131_072
    ) {
        self.scheme = scheme
        self.host = host
        self.port = port ?? (scheme == .https ? 443 : 80)
        self.tlsName = tlsName
        self.trustRoots = trustRoots
        self.connectTimeout = connectTimeout
        self.responseTimeout = responseTimeout
        self.maximumConnections = maximumConnections
        self.maximumWaitingRequests = maximumWaitingRequests
        self.maximumIdleConnections = maximumIdleConnections
        self.idleTimeout = idleTimeout
        self.maximumHeadBytes = maximumHeadBytes
    }

    /// As a URL: scheme, host and port.
    public var text: String {
        let host = self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]" : self.host
        return "\(self.scheme.rawValue)://\(host):\(self.port)"
    }
}
