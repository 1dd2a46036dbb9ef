public import TLSWire

/// One site that the edge serves: its domains, and how connections for them are handled.
public struct Site: Hashable, Sendable {
    /// The first domain: what log lines and metrics call this site.
    public var name: String
    /// The names that belong to this site, exact or with a one-label wildcard.
    public var domains: [ServerNamePattern]
    /// What the edge does with a connection for one of the domains.
    public var mode: SiteMode
    /// The name of the key holder to which native handshakes for this site go; nil: they are refused.
    public var native: String?
    /// How many of the edge's connections the site's clients may have at once; nil: three quarters where there are other
    /// sites, all where there are none.
    public var connections: ConnectionBound?

    /// Makes a site named after its first domain.
    public init(domains: [ServerNamePattern], mode: SiteMode, native: String? = nil) {
        self.name = domains.first?.description ?? ""
        self.domains = domains
        self.mode = mode
        self.native = native
    }
}

/// A number of connections, or a part of all.
public enum ConnectionBound: Hashable, Sendable {
    case number(Int)
    /// 1...100.
    case percent(Int)
}

/// How much of a site's traffic the edge gets to see.
public enum SiteMode: Hashable, Sendable {
    /// Client and origin shake hands through the edge, which passes bytes on and sees nothing.
    case relay(RelayConfiguration)
    /// The edge speaks TLS to the client; the private-key operations happen at the key holder.
    case keyless(TerminationConfiguration)
    /// The key holder shakes hands through the edge, and lends it the keys of that one session.
    case handoff(TerminationConfiguration)

    /// What the modes have in common in which TLS ends at this edge; nil in `relay` mode.
    public var termination: TerminationConfiguration? {
        switch self {
        case .relay: nil
        case .keyless(let configuration), .handoff(let configuration): configuration
        }
    }

    /// Changes what ``termination`` is; does nothing in `relay` mode.
    public mutating func changeTermination(_ change: (inout TerminationConfiguration) -> Void) {
        guard var termination = self.termination else { return }
        change(&termination)
        switch self {
        case .relay: break
        case .keyless: self = .keyless(termination)
        case .handoff: self = .handoff(termination)
        }
    }

    /// Whether TLS ends at this edge, so that the edge or its key holder, and not the origin, chooses the protocol version.
    public var terminatesTLS: Bool {
        switch self {
        case .relay: false
        case .keyless, .handoff: true
        }
    }
}
