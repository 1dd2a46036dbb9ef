public import TLSWire

/// One site that the edge serves: its domains, and how connections for them are handled.
public struct Site: Sendable {
    /// The first domain: what log lines and metrics call this site.
    public var name: String
    /// The names that belong to this site, exact or with a one-label wildcard.
    public var domains: [ServerNamePattern]
    /// What the edge does with a connection for one of the domains.
    public var mode: SiteMode

    /// Makes a site named after its first domain.
    public init(domains: [ServerNamePattern], mode: SiteMode) {
        self.name = domains.first?.description ?? ""
        self.domains = domains
        self.mode = mode
    }
}

/// How much of a site's traffic the edge gets to see.
public enum SiteMode: Sendable {
    /// Client and origin shake hands through the edge, which passes bytes on and sees nothing.
    case relay(RelayConfiguration)
    /// The edge speaks TLS to the client; the private-key operations happen at the key holder.
    case keyless(KeylessConfiguration)

    /// Whether TLS ends at this edge, so that the edge, and not the origin, chooses the protocol version.
    public var terminatesTLS: Bool {
        switch self {
        case .relay: false
        case .keyless: true
        }
    }
}
