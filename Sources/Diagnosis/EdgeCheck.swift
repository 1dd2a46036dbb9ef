import EdgeModel
import FoundationEssentials
import KeyHolder
import KeyProtocol
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import Settings
import TLSWire
import Telemetry
import X509

/// Checks an edge's file: identity, key holders, what they show for each site, origins.
struct EdgeCheck {
    let settings: EdgeSettings
    let report: CheckReport
    let offline: Bool
    let now: Date

    private var loop: any EventLoop { MultiThreadedEventLoopGroup.singleton.any() }

    func run() async {
        let credentials = self.settings.identity.flatMap {
            IdentityCheck(report: self.report, now: self.now).check($0, role: .edge)
        }
        if let fleet = self.settings.fleet {
            await FleetCheck(settings: fleet, user: .edge, report: self.report, now: self.now).run(
                self.settings, offline: self.offline)
        }
        for (site, place) in zip(self.settings.sites, self.settings.places) { self.checkTLS(site, place) }
        self.checkPlaces()
        guard !self.offline else { return }
        if let credentials {
            var shown: [SourceLocation: Set<ServerNamePattern>] = [:]
            for entry in self.settings.keyHolders {
                let names = await self.check(entry, credentials: credentials)
                shown.merge(names) { $0.union($1) }
            }
            self.checkRelays(shown, edge: credentials.identity.name)
        }
        for (site, place) in zip(self.settings.sites, self.settings.places) { await self.checkOrigin(site, place) }
    }

    /// What this edge writes.
    private func checkPlaces() {
        if let disk = self.settings.cache.disk {
            self.report.folder(disk.path, called: "disk store")
        }
        if case .file(let path)? = self.settings.accessLog?.target {
            self.report.file(path, called: "access log")
        }
    }

    /// Says what a policy excludes.
    private func checkTLS(_ site: Site, _ place: EdgeSettings.SitePlace) {
        let isKeyless = if case .keyless = site.mode { true } else { false }
        if let paths = site.mode.termination?.ocspResponses, isKeyless {
            StapleCheck(paths, of: site.name).add(to: self.report, place.site)
        }
        let exclusions = site.mode.termination?.exclusions(isKeyless: isKeyless) ?? []
        guard !exclusions.isEmpty else { return }
        self.report.ok(place.site, "tls of \(site.name) excludes \(exclusions.joined(separator: "; "))")
    }

    // MARK: Key holders

    /// - Returns: the names in the certificates that it shows for each site.
    private func check(
        _ entry: EdgeSettings.KeyHolderEntry, credentials: PeerCredentials
    ) async -> [SourceLocation: Set<ServerNamePattern>] {
        let tls: NIOSSLContext
        let expected: PeerIdentity
        do {
            tls = try credentials.clientContext()
            expected = try PeerIdentity(role: .keyholder, name: entry.identityName)
        } catch {
            self.report.fail(entry.location, "key holder \(entry.name): \(error)", remedy: nil)
            return [:]
        }
        var probes: [(address: SocketEndpoint, probe: KeyHolderProbe)] = []
        for name in entry.dialledBy {
            self.report.ok(
                entry.location, "key holder \(entry.name): \(name) connects to this edge, which its own check tries")
        }
        for address in entry.addresses {
            var configuration = KeyHolderPool.Configuration(
                expected: expected, addresses: [PeerAddress(host: address.host, port: address.port)])
            configuration.deadline = TimeAmount(entry.deadline)
            do {
                let probe = try await KeyHolderProbe.open(
                    configuration, tls: tls, limit: .seconds(5), loop: self.loop)
                probes.append((address, probe))
                self.report.ok(entry.location, "key holder \(entry.name) at \(address): connected, and is \(expected)")
            } catch {
                let reason = (error as? KeyHolderProbe.Unreachable)?.reason ?? "\(error)"
                self.report.fail(
                    entry.location, "key holder \(entry.name) at \(address): \(reason)",
                    remedy: Self.remedy(reason, edge: credentials.identity.name))
            }
        }
        var shown: [SourceLocation: Set<ServerNamePattern>] = [:]
        for (site, place) in zip(self.settings.sites, self.settings.places) {
            let mode: TrustMode
            switch site.mode {
            case .keyless: mode = .keyless
            case .handoff: mode = .handoff
            case .relay: continue
            }
            guard site.mode.termination?.keyHolder == entry.name else { continue }
            for domain in site.domains {
                let leaves = await self.prove(
                    domain, at: place.site, in: mode, at: probes, entry: entry, edge: credentials.identity.name)
                shown[place.site, default: []].formUnion(leaves.flatMap { CertificateChecks.domains(of: $0) })
            }
        }
        for (_, probe) in probes { await probe.close() }
        return shown
    }

    /// What to do where there is no link.
    ///
    /// - Parameter reason: the log's text, which may say so itself.
    static func remedy(_ reason: String, edge: String) -> String? {
        if reason.hasPrefix("\(LinkFailure.unreachable(""))") {
            return "Is it up, is that the address of its `listen`, and does a firewall let this edge in?"
        }
        let isSaid =
            reason.hasSuffix("?") || reason == "\(LinkFailure.refused(.noGrant))"
            || reason.hasPrefix("not the key holder")
        return isSaid
            ? nil
            : "Are both identities of one authority, and does its file grant edge \(edge) something? "
                + "Its log says why it refuses a connection."
    }

    /// What an edge promises not to see of a relay site, it could see by a certificate of another site that covers the name.
    private func checkRelays(_ shown: [SourceLocation: Set<ServerNamePattern>], edge: String) {
        let places = self.settings.places
        let sites = self.settings.sites.enumerated().map { position, site in
            CertifiedSite(
                name: site.domains.first?.description ?? "", domains: site.domains,
                certificates: [
                    .init(
                        names: shown[places[position].site, default: []].sorted { "\($0)" < "\($1)" },
                        // Which sites share a key is the key holder's to know.
                        ski: Array("\(position)".utf8))
                ])
        }
        let lent = self.settings.sites.indices.filter { position in
            if case .relay = self.settings.sites[position].mode { false } else { true }
        }
        let granted = Impersonation.Granted(edge: edge, sites: lent, operations: KeyProtocol.Operation.handingOff)
        for (_, finding) in Impersonation.all(of: [granted], sites: sites) {
            let position = self.settings.sites.firstIndex { $0.domains.first?.description == finding.owner }
            self.report.warn(
                position.map { places[$0].site },
                "\(finding), and that site is relayed so that no edge sees its traffic",
                remedy: "Give \(finding.granted) a certificate that does not cover \(finding.name).")
        }
    }

    /// Every address must show the same certificates, and sign with their keys, or shake hands with one.
    ///
    /// - Returns: those certificates, if at least one address proved them.
    private func prove(
        _ domain: ServerNamePattern, at place: SourceLocation, in mode: TrustMode,
        at probes: [(address: SocketEndpoint, probe: KeyHolderProbe)], entry: EdgeSettings.KeyHolderEntry, edge: String
    ) async -> [Certificate] {
        // That the key holder cannot be reached has been said; what follows from it has not to be.
        guard !probes.isEmpty else { return [] }
        let proof = SiteProof(edge: edge, keyHolder: entry.name, now: self.now)
        var proven: [(address: SocketEndpoint, result: SiteProof.Proven)] = []
        for (address, probe) in probes {
            do throws(SiteProof.Failure) {
                let result = try await proof.run(domain, mode: mode) { message in try await probe.request(message) }
                proven.append((address, result))
            } catch {
                self.report.fail(
                    place, "site \(domain) at key holder \(entry.name), \(address): \(error.text)",
                    remedy: error.remedy)
            }
        }
        guard let first = proven.first else { return [] }
        if let other = proven.first(where: { $0.result.leaves != first.result.leaves }) {
            self.report.warn(
                place, "site \(domain): \(first.address) and \(other.address) show different certificates",
                remedy: "Give all addresses of a key holder the same chains.")
        }
        let counts = first.result.chainLengths
        let chains =
            counts.count == 1
            ? "chain of \(counts[0])" : "chains of \(counts.map(String.init).joined(separator: " and "))"
        self.report.add(
            CheckLine(
                outcome: first.result.validity.outcome, location: place,
                text:
                    "site \(domain): \(chains), key identifier and \(first.result.evidence) of key holder \(entry.name) "
                    + "belong together; certificate \(first.result.validity.text)",
                remedy: first.result.validity.outcome == .ok ? nil : "Have the certificate renewed."))
        return first.result.leaves
    }

    // MARK: Origins

    private func checkOrigin(_ site: Site, _ place: EdgeSettings.SitePlace) async {
        let check = OriginCheck(loop: self.loop)
        let name = site.domains.first?.description ?? ""
        do throws(OriginCheck.Failure) {
            switch site.mode {
            case .keyless(let termination), .handoff(let termination):
                let origin = termination.origin
                try await check.reach(origin)
                let tls = origin.scheme == .https ? ", and its certificate is good" : ""
                self.report.ok(place.origin, "site \(name): the origin \(origin.text) takes connections\(tls)")
            case .relay(let relay):
                guard let address = SocketEndpoint(relay.origin) else {
                    self.report.ok(place.origin, "site \(name): the origin is looked up for each connection")
                    return
                }
                try await check.reach(address, limit: relay.connectTimeout)
                self.report.ok(place.origin, "site \(name): the origin \(address) takes connections")
            }
        } catch {
            self.report.fail(place.site, "site \(name): \(error.text)", remedy: error.remedy)
        }
    }
}
