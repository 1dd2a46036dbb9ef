import KeyHolder
import PeerLink
import Settings

/// From what a key holder's file says to what the key holder is told.
extension KeyHolderConfiguration {
    init(_ settings: KeyHolderSettings) throws {
        let audit: AuditDestination =
            switch settings.audit {
            case .standardOutput: .standardOutput
            case .file(let path): .file(path)
            }
        var limits = KeyHolderLimits()
        limits.connections = settings.limits.connections
        limits.inFlight = settings.limits.inFlight
        self.init(
            listen: [PeerAddress(host: settings.listen.host, port: settings.listen.port)],
            credentials: try PeerCredentials(
                chainFile: settings.identity.certificate, keyFile: settings.identity.key,
                authorityFile: settings.identity.authority),
            sites: settings.sites.map {
                SiteConfiguration(chain: .file($0.certificate), key: .file($0.key), domains: $0.domains)
            },
            grants: settings.grants.map {
                GrantConfiguration(edge: $0.edge, sites: $0.sites, operations: $0.operations, rate: $0.rate)
            },
            audit: audit, limits: limits)
    }
}
