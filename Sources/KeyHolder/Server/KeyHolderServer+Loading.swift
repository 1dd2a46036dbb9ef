import KeyProtocol
import Logging
import PeerLink
import TLSWire

/// What becomes of a configuration: credentials that can be used, sites, a policy; and what to beware of in them.
extension KeyHolderServer {
    static func checkCredentials(of configuration: KeyHolderConfiguration) throws {
        guard configuration.credentials.identity.role == .keyholder else {
            throw KeyHolderError.wrongRole(configuration.credentials.identity)
        }
        do {
            _ = try configuration.credentials.serverContext()
        } catch {
            throw KeyHolderError.tls("\(error)")
        }
    }

    /// Reads the sites' files, and has keys on tokens sign. Blocks.
    static func sites(
        of configuration: KeyHolderConfiguration, previous: Policy?
    ) throws(SiteLoadError) -> [Site] {
        let loader = SiteLoader(store: configuration.keyStore, previous: previous?.index)
        var sites: [Site] = []
        for site in configuration.sites { sites.append(try loader.load(site)) }
        return sites
    }

    static func policy(
        _ configuration: KeyHolderConfiguration, _ sites: [Site], _ all: ConfiguredGrants, at time: Int64,
        previous: Policy?, revokingReplaced: Bool = false, _ logger: Logger
    ) throws(SiteLoadError) -> Policy {
        // Grants that do not count now are to be good all the same when they do, and what to beware of in them is said now.
        let whole = try Policy(sites: sites, grants: configuration.grants, previous: nil, now: 0)
        let grants: [GrantConfiguration] = all.inForce(at: time)
        for edge in Set(configuration.grants.map(\.edge)).intersection(all.revoked).sorted() {
            logger.warning("an edge is revoked: its grants do not count", metadata: ["edge": "\(edge)"])
        }
        let policy = try Policy(
            sites: sites, grants: grants, lease: configuration.lease, grace: configuration.grace,
            revokingReplaced: revokingReplaced, previous: previous,
            now: Clock.monotonic(), wallSeconds: time / 1000)
        let now: Int64 = Clock.wallMilliseconds() / 1000
        for site in sites {
            let keys: String = site.credentials.map { "\($0.key.type)" }.joined(separator: ", ")
            logger.info("site loaded", metadata: ["site": "\(site.name)", "key": "\(keys)"])
            for credential in site.credentials { Self.warn(of: credential, now: now, logger) }
        }
        for grant in configuration.grants {
            let stock: [String] = grant.operations.intersection(KeyProtocol.Operation.stock).map(\.rawValue).sorted()
            guard !stock.isEmpty else { continue }
            logger.warning(
                "a grant has stock operations: with them an edge has whatever it likes signed or decrypted",
                metadata: [
                    "edge": "\(grant.edge)", "operations": "\(stock.joined(separator: ", "))",
                    "sites": "\(grant.sites.map(\.description).joined(separator: ", "))",
                ])
        }
        for (one, other) in whole.sitesSharingKeys {
            logger.warning(
                "two sites share a private key: a grant for one is as good as a grant for the other",
                metadata: ["site": "\(one.name)", "other": "\(other.name)"])
        }
        Self.warn(of: whole.impersonations, logger)
        return policy
    }

    private static func warn(of credential: SiteCredential, now: Int64, _ logger: Logger) {
        if credential.notAfter < now {
            logger.warning("a site's certificate has expired; renew it", metadata: ["file": "\(credential.chainName)"])
        }
        if credential.lacksIntermediate {
            logger.warning(
                "a site's chain ends with its own certificate: clients will not find who issued it",
                metadata: ["file": "\(credential.chainName)", "remedy": "\(ChainOrder.remedy)"])
        }
    }

    /// One line for each name, up to a bound, since a wildcard may cover thousands.
    private static func warn(of impersonations: [Impersonation], _ logger: Logger) {
        let most = 20
        for one in impersonations.prefix(most) {
            logger.warning(
                "an edge could pose as a site that it was not granted: a certificate that it was granted covers the name",
                metadata: [
                    "edge": "\(one.edge)", "granted": "\(one.granted)", "covered-by": "\(one.pattern)",
                    "name": "\(one.name)", "site": "\(one.owner)",
                ])
        }
        if impersonations.count > most {
            logger.warning(
                "more names as which edges could pose; `latchstring check` names them all",
                metadata: ["names": "\(impersonations.count - most)"])
        }
    }
}
