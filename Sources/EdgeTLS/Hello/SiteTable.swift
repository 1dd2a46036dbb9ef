package import EdgeModel
package import TLSWire

/// What is wrong with a set of sites.
package enum SiteTableError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A site without a domain can never be reached.
    case siteWithoutDomains
    /// Two sites claim the same domain.
    case duplicateDomain(ServerNamePattern)
    /// The default site's name is none of the sites' domains.
    case unknownDefaultSite(ServerName)

    package var description: String {
        switch self {
        case .siteWithoutDomains:
            "a site has no domains; name at least one"
        case .duplicateDomain(let domain):
            "the domain \(domain) is listed twice; a domain can belong to one site only"
        case .unknownDefaultSite(let name):
            "the default site \(name) is not among the sites' domains; name one of them"
        }
    }
}

/// Where a connection goes after its ClientHello was read.
package enum Route: Sendable {
    /// To this site.
    case site(Site)
    /// Nowhere: the client gets this alert.
    case reject(alert: Alert.Description, reason: RouteRejection)
}

/// Why a well-formed ClientHello is not served. The raw value is the metric's and the log line's `reason`.
package enum RouteRejection: String, Sendable, CaseIterable {
    /// The client sent no server name, and there is no default site.
    case noServerName = "no server name"
    /// No site has this name.
    case unknownServerName = "unknown server name"
    /// The site's TLS ends here, and the client offers no version that the site takes: TLS 1.2 or 1.3, or 1.3 alone.
    case versionTooOld = "version too old"
    /// The site's TLS ends here, and the client offers only protocols that are not spoken here (ALPN).
    case noApplicationProtocol = "no application protocol"
}

/// Finds the site for a server name: an exact domain beats a wildcard, and a client without a name gets the default site.
///
/// Immutable once made; a changed configuration makes a new table.
package struct SiteTable: Sendable {
    /// A site, and what of it is asked for each client. By reference: a site is large to copy.
    private final class Entry: Sendable {
        let site: Site
        let terminatesTLS: Bool
        let minimumTLSVersion: UInt16
        let applicationProtocols: [String]

        init(_ site: Site) {
            self.site = site
            let termination = site.mode.termination
            self.terminatesTLS = termination != nil
            self.minimumTLSVersion = termination?.minimumTLSVersion ?? 0
            self.applicationProtocols = termination?.applicationProtocols ?? []
        }
    }

    private var names = ServerNameTable<Entry>()
    private var defaultSite: Entry?

    /// Makes the table.
    ///
    /// - Parameters:
    ///   - sites: All sites; their domains must be distinct.
    ///   - defaultSite: A name served by the site that also serves clients without a server name. Such clients are
    ///     refused if it is `nil`. A client that sends a name that no site has is refused either way.
    package init(sites: [Site], defaultSite: ServerName? = nil) throws(SiteTableError) {
        for site in sites {
            guard !site.domains.isEmpty else { throw .siteWithoutDomains }
            let entry = Entry(site)
            for domain in site.domains {
                guard self.names.insert(entry, for: domain) else { throw .duplicateDomain(domain) }
            }
        }
        if let defaultSite {
            guard let site = self.names.value(for: defaultSite) else { throw .unknownDefaultSite(defaultSite) }
            self.defaultSite = site
        }
    }

    /// The site that serves a name, or, for `nil`, the default site.
    package func site(for serverName: ServerName?) -> Site? { self.entry(for: serverName)?.site }

    private func entry(for serverName: ServerName?) -> Entry? {
        guard let serverName else { return self.defaultSite }
        return self.names.value(for: serverName)
    }

    /// Where a connection with this ClientHello goes.
    ///
    /// A certificate authority that validates the name (RFC 8737) offers one protocol, and speaks with the party that shakes hands:
    /// the key holder, in both modes in which TLS ends here. No HTTP comes of it.
    package func route(_ hello: ClientHello) -> Route {
        guard let entry = self.entry(for: hello.serverName) else {
            return Self.unknown(hello.serverName, hello.supportedVersions)
        }
        guard Self.takes(hello.supportedVersions, entry) else { return Self.tooOld }
        guard !entry.terminatesTLS || hello.accepts(anyOf: entry.applicationProtocols) || hello.isAuthorityCheck else {
            return .reject(alert: .noApplicationProtocol, reason: .noApplicationProtocol)
        }
        return .site(entry.site)
    }

    /// Where a connection goes that asks for this name and offers these TLS versions, whatever it is to carry.
    package func route(serverName: ServerName?, supportedVersions: [UInt16]) -> Route {
        guard let entry = self.entry(for: serverName) else { return Self.unknown(serverName, supportedVersions) }
        return Self.takes(supportedVersions, entry) ? .site(entry.site) : Self.tooOld
    }

    private static let tooOld = Route.reject(alert: .protocolVersion, reason: .versionTooOld)

    /// A relayed client's versions are the origin's business.
    private static func takes(_ supportedVersions: [UInt16], _ entry: Entry) -> Bool {
        !entry.terminatesTLS || supportedVersions.contains(TLSVersion.tls13)
            || entry.minimumTLSVersion <= TLSVersion.tls12 && supportedVersions.contains(TLSVersion.tls12)
    }

    /// RFC 8446 §9.2 has a server that needs a name answer its absence with `missing_extension`; before TLS 1.3 there was
    /// no such alert, so older clients get `unrecognized_name` (RFC 6066 §3).
    private static func unknown(_ serverName: ServerName?, _ supportedVersions: [UInt16]) -> Route {
        guard serverName == nil else { return .reject(alert: .unrecognizedName, reason: .unknownServerName) }
        let offersTLS13 = supportedVersions.contains(TLSVersion.tls13)
        return .reject(alert: offersTLS13 ? .missingExtension : .unrecognizedName, reason: .noServerName)
    }
}
