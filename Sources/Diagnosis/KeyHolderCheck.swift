import FoundationEssentials
import HSMKeys
import HSMWire
import KeyHolder
import KeyProtocol
import Logging
import PeerLink
import Settings
import TLSWire
import Telemetry

/// Checks a key holder's file: identity, chains, keys, grants, audit.
struct KeyHolderCheck {
    let settings: KeyHolderSettings
    let report: CheckReport
    let now: Date
    /// Connect to nothing: tokens are not asked.
    let offline: Bool
    let keys: HSMKeyStore

    init(settings: KeyHolderSettings, report: CheckReport, offline: Bool = false, now: Date) {
        self.settings = settings
        self.report = report
        self.offline = offline
        self.now = now
        // What is wrong is said in the report.
        self.keys = HSMKeyStore(settings.hsm, logger: Logger(label: "check") { _ in SwiftLogNoOpLogHandler() })
    }

    /// - Returns: the domains of the sites that can be served, and where each stands.
    @discardableResult
    func run() -> [(domain: ServerNamePattern, location: SourceLocation)] {
        _ = IdentityCheck(report: self.report, now: self.now).check(self.settings.identity, role: .keyholder)
        // Which site has which domain, by its place in the file; grants name domains exactly as sites have them.
        var owners: [ServerNamePattern: SourceLocation] = [:]
        var sites: [SourceLocation: CertifiedSite] = [:]
        var all: [(domain: ServerNamePattern, location: SourceLocation)] = []
        for site in self.settings.sites {
            guard let certified = self.check(site) else { continue }
            sites[site.location] = certified
            for domain in certified.domains {
                all.append((domain, site.location))
                if let other = owners[domain], other != site.location {
                    self.report.fail(
                        site.location, "the domain \(domain) belongs to the site in line \(other.line) also",
                        remedy: "Set \"domains\" so that each domain stands in one site.")
                } else {
                    owners[domain] = site.location
                }
            }
        }
        self.checkGrants(owners, allKnown: sites.count == self.settings.sites.count)
        self.checkImpersonations(owners, sites)
        self.checkPlaces()
        AuditKeyCheck(settings: self.settings.audit, report: self.report).run()
        return all
    }

    /// The site's names; nil, and at least one failure, if it cannot be served.
    private func check(_ site: KeyHolderSettings.Site) -> CertifiedSite? {
        let place = site.location
        var certificates = site.certificates
        if let acme = site.acme, let domains = site.domains {
            let names = domains.map(\.description).joined(separator: ", ")
            for (kind, certificate) in zip(acme.keys, site.certificates) where !CheckFiles.exists(certificate.chain) {
                let which = acme.keys.count > 1 ? "\(kind) certificate" : "certificate"
                self.report.ok(place, "site \(names): the \(which) is ordered at the start")
            }
            certificates = certificates.filter { CheckFiles.exists($0.chain) }
            if certificates.isEmpty {
                // Its key is not made yet, and no other site's.
                return CertifiedSite(
                    name: domains.first?.description ?? "", domains: domains,
                    certificates: [.init(names: domains, ski: Array("line \(place.line)".utf8))])
            }
        }
        let check = KeyHolderCertificateCheck(
            report: self.report, keys: self.keys, offline: self.offline, now: self.now)
        let found = certificates.map(check.load)
        let loaded = found.compactMap(\.self)
        guard loaded.count == found.count, let first = loaded.first else { return nil }
        let domains = site.domains ?? first.names
        guard !domains.isEmpty else {
            self.report.fail(first.location, "\(SiteLoadError.noNames(first.file))", remedy: nil)
            return nil
        }
        for (index, one) in loaded.enumerated() {
            if let other = loaded[..<index].first(where: { $0.ski == one.ski }) {
                self.report.fail(one.location, "\(SiteLoadError.sameKey(other.file, one.file))", remedy: nil)
                return nil
            }
            for domain in domains where site.acme == nil && !CertificateChecks.covers(one.names, domain) {
                self.report.fail(
                    one.location, "\(SiteLoadError.nameNotCovered(one.file, name: domain.description))", remedy: nil)
                return nil
            }
        }
        let names = domains.map(\.description).joined(separator: ", ")
        for one in loaded { check.tell(one, of: names) }
        self.checkOrder(of: loaded, names)
        let types = loaded.compactMap { $0.key?.type }
        if !types.isEmpty { self.checkTLS(site, names, types) }
        return CertifiedSite(
            name: domains[0].description, domains: domains,
            certificates: loaded.map { .init(names: $0.names, ski: $0.ski) })
    }

    /// Says of which certificates clients see none: those behind another that every such client can verify.
    private func checkOrder(of loaded: [KeyHolderCertificateCheck.Loaded], _ names: String) {
        for (index, one) in loaded.enumerated() {
            guard let type = one.key?.type.schemes,
                let other = loaded[..<index].first(where: { $0.key?.type.schemes == type && $0.isValid })
            else { continue }
            self.report.ok(
                one.location,
                "site \(names): \(other.file) stands before \(one.file), so clients are shown that; the key of this one signs for what names it"
            )
        }
    }

    /// What the site's `tls` leaves out, and whether anything is left.
    private func checkTLS(_ site: KeyHolderSettings.Site, _ names: String, _ types: [KeyType]) {
        let handshakes = HandshakeSettings(site.tls)
        if let problem = handshakes.problem(with: types) {
            self.report.fail(
                site.location, "\(SiteLoadError.handshakes(site.certificates[0].chain, problem))", remedy: nil)
            return
        }
        if let file = handshakes.ticketKeys {
            do throws(SiteLoadError) { _ = try TicketKeyFile(contentsOf: file) } catch {
                self.report.fail(site.location, "\(error)", remedy: nil)
                return
            }
        }
        StapleCheck(handshakes.ocspResponses, of: names).add(to: self.report, site.location)
        guard !handshakes.exclusions.isEmpty else { return }
        self.report.ok(
            site.location,
            "site \(names): its tls excludes \(handshakes.exclusions.joined(separator: ", "))")
    }

    /// As which names edges could pose without a grant for them.
    private func checkImpersonations(
        _ owners: [ServerNamePattern: SourceLocation], _ sites: [SourceLocation: CertifiedSite]
    ) {
        let places = sites.keys.sorted { $0.line < $1.line }
        let positions = Dictionary(uniqueKeysWithValues: places.enumerated().map { ($1, $0) })
        let grants = self.settings.grants.map { grant in
            let named = Set(grant.sites.compactMap { owners[$0] }).compactMap { positions[$0] }
            return Impersonation.Granted(edge: grant.edge, sites: named.sorted(), operations: grant.operations)
        }
        for (grant, finding) in Impersonation.all(of: grants, sites: places.compactMap { sites[$0] }) {
            self.report.warn(self.settings.grants[grant].location, "\(finding)", remedy: Impersonation.remedy)
        }
    }

    private func checkGrants(_ owners: [ServerNamePattern: SourceLocation], allKnown: Bool) {
        var seen: [String: Set<SourceLocation>] = [:]
        for grant in self.settings.grants {
            var isGood = true
            var named: Set<SourceLocation> = []
            for domain in grant.sites {
                guard let owner = owners[domain] else {
                    // The site that has it may be one of those that failed already.
                    guard allKnown else { continue }
                    isGood = false
                    self.report.fail(
                        grant.location, "the grant for edge \(grant.edge) names \(domain), which no site here has",
                        remedy: "Correct the name, or add the site. Domains here: \(Self.listing(owners.keys)).")
                    continue
                }
                named.insert(owner)
            }
            let again = seen[grant.edge, default: []].intersection(named)
            if !again.isEmpty {
                isGood = false
                self.report.fail(
                    grant.location, "edge \(grant.edge) has another grant for the same site",
                    remedy: "Merge the two.")
            }
            seen[grant.edge, default: []].formUnion(named)
            let blind = grant.operations.intersection(KeyProtocol.Operation.stock).map(\.rawValue).sorted()
            if !blind.isEmpty {
                self.report.warn(
                    grant.location,
                    "edge \(grant.edge) may use \(blind.joined(separator: ", ")), which works on whatever it is given",
                    remedy: "Grant stock operations only to stock peers.")
            }
            if grant.operations.contains(.signTLS13), grant.operations.isDisjoint(with: [.handshakeTLS12, .handoff]) {
                self.report.warn(
                    grant.location,
                    "edge \(grant.edge) may sign-tls13 and not handshake-tls12: its keyless sites take no TLS 1.2 clients",
                    remedy: "Write keyless, which has both.")
            }
            if let until = grant.times.until, until <= Int64(self.now.timeIntervalSince1970 * 1000) {
                self.report.warn(
                    grant.location, "the grant for edge \(grant.edge) has ended: it gives nothing",
                    remedy: "Remove it, or write a later until.")
            }
            if isGood {
                let operations = grant.operations.map(\.rawValue).sorted().joined(separator: ", ")
                let sites = grant.sites.map(\.description).joined(separator: ", ")
                self.report.ok(
                    grant.location,
                    "grant: edge \(grant.edge) may \(operations) for \(sites), \(grant.rate) operations per second")
            }
        }
    }

    private static func listing(_ domains: some Collection<ServerNamePattern>) -> String {
        let names = domains.map(\.description).sorted()
        let shown = names.prefix(8).joined(separator: ", ")
        return names.count > 8 ? "\(shown), …" : shown
    }

    /// What this key holder writes.
    private func checkPlaces() {
        if case .file(let path) = self.settings.audit.target { self.report.file(path, called: "audit log") }
        if let path = self.settings.state { self.report.folder(path, called: "state folder") }
    }
}
