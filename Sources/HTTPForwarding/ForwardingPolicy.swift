public import TLSWire

/// What one site wants of forwarding. Defaults: fields in which a client claims to be a proxy are replaced.
public struct ForwardingPolicy: Sendable {
    /// What happens to `Forwarded` and `X-Forwarded-*` that the client sent.
    public enum ClientClaims: Sendable {
        /// The edge is the first hop that can be trusted: what clients say is dropped.
        case replace
        /// The edge stands behind another trusted proxy: its own entry is added at the end.
        case append
    }

    /// The domains of the site. A request for another host gets 421.
    public var domains: [ServerNamePattern]
    /// Names under this site's wildcards that belong to other sites, which listed them exactly. Requests for them get 421,
    /// since their traffic must not reach this site's origin.
    public var namesOfOtherSites: Set<ServerName>
    /// Whether a name of these domains is served now; requests for one that is not get 421. Asked for each request whose host
    /// is another one than its connection's. nil: all are.
    public var isServedNow: (@Sendable (ServerName) -> Bool)?
    /// What this edge calls itself in `Via`: 1...64 token characters.
    public let pseudonym: String
    /// The scheme of client connections, in lower case.
    public let scheme: String
    /// Its entries of `Via`, for what came by HTTP/2, HTTP/1.1 and HTTP/1.0.
    let via20: String
    let via11: String
    let via10: String
    /// An element of `Forwarded` up to the client's address, and behind it up to the host.
    let forwardedBy: String
    let forwardedProto: String
    public var clientClaims: ClientClaims
    /// Names requests; nil: they have no names, and `X-Request-Id` is a field like others. Only those whose claims count
    /// (``ClientClaims/append``) may bring a name along.
    public var newRequestID: (@Sendable () -> (UInt64, UInt64))?
    /// Whether clients are told the names of their requests.
    public var showsRequestID = false
    /// The longest request target, in bytes; beyond it 414.
    public var maximumTargetBytes: Int

    public init(
        domains: [ServerNamePattern], namesOfOtherSites: Set<ServerName> = [], pseudonym: String,
        scheme: String = "https", clientClaims: ClientClaims = .replace, maximumTargetBytes: Int = 16384
    ) {
        self.domains = domains
        self.namesOfOtherSites = namesOfOtherSites
        self.pseudonym = pseudonym
        self.scheme = scheme
        self.via20 = "2.0 \(pseudonym)"
        self.via11 = "1.1 \(pseudonym)"
        self.via10 = "1.0 \(pseudonym)"
        self.forwardedBy = "by=\(ForwardedElement.obfuscatedIdentifier(pseudonym));for="
        self.forwardedProto = ";proto=\(scheme);host="
        self.clientClaims = clientClaims
        self.maximumTargetBytes = maximumTargetBytes
    }

    func serves(_ name: ServerName) -> Bool {
        self.domains.contains { $0.matches(name) } && !self.namesOfOtherSites.contains(name)
            && self.isServedNow?(name) ?? true
    }
}
