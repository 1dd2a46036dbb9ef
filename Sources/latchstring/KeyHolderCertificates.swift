import ACME
import ACMEClient
import KeyHolder
import Logging
import Metrics
import Settings
import Synchronization
import TLSWire

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The certificates that a key holder gets by ACME: its settings brought to the manager, and the manager's wishes to the server.
final class KeyHolderCertificates: CertificateHost {
    /// Sites whose certificates come by ACME, as the server is to be given them again.
    private let sites = Mutex<[String: SiteConfiguration]>([:])
    private let server = Mutex<KeyHolderServer?>(nil)
    /// When the next certificate of each site is ordered, by its keys; milliseconds since 1970.
    private let next = Mutex<[String: [SiteKeyKind: Int64]]>([:])
    private let issued = Counter(
        label: "latchstring_keyholder_certificate_orders_total", dimensions: [("outcome", "issued")])
    private let failed = Counter(
        label: "latchstring_keyholder_certificate_orders_total", dimensions: [("outcome", "failed")])

    let state: StateFolder
    /// Of the folder.
    let lock: StateLock

    /// - Throws: if the folder cannot be used, or another process uses it.
    init(state path: String, logger: Logger) throws {
        self.state = StateFolder(path: path, logger: logger)
        self.lock = try self.state.lock()
    }

    struct StateMoved: Error, CustomStringConvertible {
        var description: String { "\"state\" changes at the next start only, and sites with acme need it; restart" }
    }

    /// Sees to it that every site has a key and a chain, be it a placeholder, before it is loaded.
    func prepare(_ settings: KeyHolderSettings) throws {
        guard settings.state == self.state.path else { throw StateMoved() }
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        for site in ManagedSite.all(of: settings) { try self.state.prepare(site, now: now) }
    }

    /// What the server serves now.
    func serve(_ server: KeyHolderServer, _ configuration: KeyHolderConfiguration) {
        self.next.withLock { $0 = [:] }
        self.server.withLock { $0 = server }
        let sites = configuration.sites.compactMap { site in site.domains?.first.map { ($0.description, site) } }
        self.sites.withLock { $0 = Dictionary(sites) { first, _ in first } }
    }

    // MARK: For the manager

    private var current: KeyHolderServer? { self.server.withLock { $0 } }

    var hasEdge: Bool { (self.current?.connectionCount ?? 0) > 0 }

    func show(_ challenge: ChallengeCertificate, for name: String) throws {
        try self.current?.showChallenge(challenge.certificate, key: challenge.key, for: try ServerName(name))
    }

    func withdraw(challengeFor name: String) {
        if let name = try? ServerName(name) { self.current?.withdrawChallenge(for: name) }
    }

    func show(token: String, value: String, for name: String) throws {
        self.current?.showToken(token, value: value, for: try ServerName(name))
    }

    func withdraw(token: String, for name: String) {
        if let name = try? ServerName(name) { self.current?.withdrawToken(token, for: name) }
    }

    func install(_ site: ManagedSite) throws {
        guard let configuration = self.sites.withLock({ $0[site.name] }) else { return }
        let chain = StateLayout.chain(of: site.name, site.key, in: self.state.path)
        // Files of one certificate are not to keep another one out.
        try self.current?.replace(
            configuration, renewed: configuration.certificates.first { $0.chain.name == chain })
    }

    func audit(_ event: CertificateEvent, of site: ManagedSite, detail: String) {
        switch event {
        case .issued: self.issued.increment()
        case .failed: self.failed.increment()
        case .registered: break
        }
        self.current?.auditCertificate(
            event == .registered ? .certificateAccount : .certificateOrder, site: site.name,
            isGood: event != .failed,
            detail: detail)
    }

    func measured(_ site: ManagedSite, nextOrder: Int64) {
        let first: Int64? = self.next.withLock { next in
            next[site.name, default: [:]][site.key] = nextOrder
            return next[site.name]?.values.min()
        }
        Gauge(label: "latchstring_keyholder_certificate_next_order_seconds", dimensions: [("site", site.name)])
            .record((first ?? nextOrder) / 1000)
    }
}

extension ManagedSite {
    static func all(of settings: KeyHolderSettings) -> [ManagedSite] {
        settings.sites.flatMap { site -> [ManagedSite] in
            guard let acme = site.acme, let domains = site.domains, let first = domains.first else { return [] }
            return acme.keys.map { key in
                ManagedSite(
                    name: first.description, key: key, domains: domains.map(\.description), directory: acme.directory,
                    email: acme.email,
                    externalAccount: acme.externalAccount.map { Binding(kid: $0.kid, keyFile: $0.key) },
                    challenge: acme.challenge,
                    hook: acme.hook.isEmpty ? nil : HookProgram(command: acme.hook, timeout: acme.hookTimeout),
                    roots: acme.roots, renewAfter: acme.renewAfter)
            }
        }
    }
}
