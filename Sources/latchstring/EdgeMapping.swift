import Edge
import EdgeHTTP
import EdgeModel
import NIOCore
import PeerLink
import Settings

/// What an edge's file says, and what it names.
extension EdgeConfiguration {
    init(_ settings: EdgeSettings) throws {
        self.init(listen: settings.listen, sites: settings.sites)
        self.cache = settings.cache
        self.plain = settings.plain.map { plain in
            PlainConfiguration(
                listen: plain.listen.map { ListenAddress(host: $0.host, port: $0.port) },
                rules: PlainRules(redirect: plain.redirect, port: plain.port))
        }
        self.keyHolderListen = settings.keyHolderListen.map {
            ListenAddress(host: $0.host, port: $0.port, policy: .keyHolders)
        }
        self.trustedProxies = settings.trustedProxies
        self.defaultSite = settings.defaultSite
        self.naming = settings.naming
        self.limits = settings.limits
        self.drain = TimeAmount(settings.drain)
        if let threads = settings.threads { self.threads = threads }
        if let identity = settings.identity {
            let credentials = try PeerCredentials(
                chainFile: identity.certificate, keyFile: identity.key, authorityFile: identity.authority)
            guard credentials.identity.role == .edge else {
                throw PeerIdentityError.wrongRole(expected: .edge, got: credentials.identity)
            }
            self.credentials = credentials
        }
        for entry in settings.keyHolders {
            self.keyHolders[entry.name] = try KeyHolderPool.Configuration(entry)
            self.nativeAddresses[entry.name] = entry.native.map {
                PeerAddress(host: $0.host, port: $0.port)
            }
            if entry.takesNativeDialled { self.nativeDialled.insert(entry.name) }
        }
    }
}

extension KeyHolderPool.Configuration {
    init(_ entry: EdgeSettings.KeyHolderEntry) throws {
        self.init(
            expected: try PeerIdentity(role: .keyholder, name: entry.identityName),
            addresses: entry.addresses.map { PeerAddress(host: $0.host, port: $0.port) })
        self.dialledBy = try entry.dialledBy.map { try PeerIdentity(role: .keyholder, name: $0) }
        self.deadline = TimeAmount(entry.deadline)
        self.inFlightLimit = entry.inFlight
        self.hedge = Double(entry.hedge) / 100
    }
}
