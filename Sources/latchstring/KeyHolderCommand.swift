import ACMEClient
import Admin
import ArgumentParser
import Channels
import Diagnosis
import Dispatch
import Foundation
import HSMKeys
import KeyHolder
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NativeHandshake
import PeerLink
import ServiceLifecycle
import Settings
import Synchronization
import TLSWire
import Telemetry

/// `latchstring keyholder`: the key holder as a process.
struct KeyHolderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keyholder",
        abstract: "Own the private keys of your sites, and use them for the edges you grant.",
        discussion: """
            Reads a YAML file such as Examples/keyholder.yaml; `latchstring check --config FILE` says what is wrong with it.
            Logs to standard error: JSON lines, or readable text on a terminal. SIGHUP, or `latchstring reload`, reads sites, grants, \
            lease and identity again, cuts off edges that lost their last grant, and opens the audit file again. SIGUSR1 has it open \
            the audit file again, and nothing else. SIGUSR2 has it start the program at its path, give that its sockets, and end \
            once that serves. Ends on SIGTERM or SIGINT, after requests under way had up to 5 seconds to finish. Takes sockets from systemd (LISTEN_FDS), and tells it how it is \
            (NOTIFY_SOCKET).
            """)

    @Option(help: "The key holder's configuration file.")
    var config: String

    @Flag(help: .hidden)
    var inspectable = false

    func run() async throws {
        Startup.keepHeap()
        Startup.ignoreSignals()
        let environment = try Startup.environment()
        let path = self.config
        let settings = try Startup.settings { () throws(SettingsError) in try Settings.loadKeyHolder(path: path) }
        let logger = Startup.logger(settings.log, label: "keyholder")
        MemoryProtection.forbidDumps(inspectable: self.inspectable, logger: logger)
        MemoryProtection.keepFromSwap(logger: logger)
        let descriptors = DescriptorLimit.raise()
        let metrics = Startup.metrics(role: "keyholder", domains: settings.sites.count)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads ?? System.coreCount)
        let certificates = try Startup.orExit {
            let certificates = try settings.state.map { try KeyHolderCertificates(state: $0, logger: logger) }
            try certificates?.prepare(settings)
            return certificates
        }
        let gate = StartGate()
        let keys = HSMKeyStore(
            settings.hsm, refusedPINs: settings.state.map { "\($0)/refused-pins" }, logger: logger)
        let revoked = try Startup.orExit {
            try settings.state.map { try RevokedEdges(path: "\($0)/revoked-edges") }
        }
        let configuration = try Startup.orExit {
            var configuration = try KeyHolderConfiguration(settings, keys: keys)
            configuration.revoked = revoked?.names ?? []
            configuration.fit(descriptors: descriptors, logger: logger)
            return configuration
        }
        let serves: @Sendable ([SocketAddress]) -> Void = { addresses in
            gate.open()
            for address in addresses {
                logger.notice("listening", metadata: ["address": "\(Self.text(address))"])
            }
        }
        var predecessor: Predecessor?
        if let link = environment.link { predecessor = try await Predecessor(link) }
        let server = try await Startup.awaitOrExit { [predecessor] () async throws -> KeyHolderServer in
            guard let predecessor else {
                return try KeyHolderServer(
                    configuration: configuration, inherited: environment.inherited, group: group, logger: logger,
                    onReady: serves)
            }
            let before = KeyHolderPredecessor(
                claim: {
                    _ = try await predecessor.claim()
                    try revoked?.reread()
                    return revoked?.names ?? []
                }, relieve: { try await predecessor.relieve($0) })
            return try await KeyHolderServer(
                configuration: configuration, inherited: environment.inherited, succeeding: before, group: group,
                logger: logger, onReady: serves)
        }
        certificates?.serve(server, configuration)
        keys.events.listen { server.auditToken($0.event, isGood: $0.isGood, detail: $0.detail) }
        let manager = certificates.map {
            CertificateManager(
                sites: ManagedSite.all(of: settings), state: $0.state, host: $0, group: group,
                userAgent: "latchstring/\(LatchstringVersion.text) (ACME client)", logger: logger)
        }
        let reloader = KeyHolderReloader(
            path: path, settings: settings, server: server, keys: keys, certificates: certificates, manager: manager,
            logger: logger)
        let status: @Sendable () -> String = { "connected edges: \(server.connectionCount)" }
        let reload = environment.notifier.telling({ await reloader.reload() }, status, logger: logger)
        let term = IdentityTerm()
        var services: [any Service] = []
        var admins: [AdminServer] = []
        let audit = HealthCheck(name: "audit") {
            server.canAudit ? .ok : .failed("the audit log cannot keep up; operations are refused")
        }
        let hsm = HealthCheck(name: "hsm") {
            keys.isWell ? .ok : .failed("a token does not do what it is asked; the log says why")
        }
        let edges = HealthCheck(name: "edges") {
            let problems = server.dialProblems
            return problems.isEmpty ? .ok : .degraded("no link to " + problems.joined(separator: "; "))
        }
        let checks = [audit, edges, term.healthCheck] + (settings.hsm == nil ? [] : [hsm])
        if let admin = settings.admin {
            admins.append(
                try await Startup.admin(
                    admin.endpoint, metrics: metrics, readiness: checks,
                    endpoints: [
                        ReloadReport.endpoint { await reloader.reload(revokingReplaced: $0) },
                        RevocationReport.endpoint(revoked, server), GrantsReport.endpoint(server),
                    ],
                    token: try admin.token.map { try Startup.adminToken($0) }, inherited: environment.inherited,
                    logger: logger))
        }
        if let monitoring = settings.monitoring {
            let tls = try Startup.monitoringTLS(monitoring)
            admins.append(
                try await Startup.monitoring(
                    monitoring, tls: tls, metrics: metrics, readiness: checks, inherited: environment.inherited,
                    logger: logger))
            services.append(IdentityWatch(monitoring, tls, logger))
        }
        // A successor's admin ports stay with the process before until this one serves.
        let opening = predecessor == nil ? nil : StartGate()
        for admin in admins { services.append(OpenedLater(service: admin, gate: opening)) }
        services.append(server)
        if let manager { services.append(manager) }
        services.append(
            ReopenOnUserSignal(log: "audit log", reopen: { try await reloader.reopenAudit() }, logger: logger))
        services.append(ReloadOnHangUp(reload: reload))
        services.append(
            IdentityWatch(
                identity: { reloader.identity }, renew: { try await reloader.renewIdentity() }, term: term,
                logger: logger))
        let end = NIOLockedValueBox<(@Sendable () async -> Void)?>(nil)
        services.append(
            HandOverOnSignal(
                KeyHolderParty(
                    server: server, admins: admins, certificates: certificates, manager: manager, revoked: revoked),
                plan: { HandOverPlan(reloader.handOver) }, notifier: environment.notifier, logger: logger
            ) {
                if let end = end.withLockedValue({ $0 }) { await end() }
            })
        services.append(
            ServiceReports(
                environment: environment, predecessor: predecessor, gate: gate, serves: { opening?.open() },
                turn: { await server.turn() }, status: status, logger: logger))
        // Requests under way have five, and native streams, too.
        try await Startup.run(services, within: { .seconds(15) }, logger: logger) { stop in
            end.withLockedValue { $0 = stop }
        }
        try await group.shutdownGracefully()
    }

    private static func text(_ address: SocketAddress) -> String {
        SocketEndpoint(host: address.ipAddress ?? "\(address)", port: address.port ?? 0).description
    }
}

/// Has a key holder work by its configuration file as it is now.
private final class KeyHolderReloader: Sendable {
    let path: String
    /// What it was started with.
    let settings: KeyHolderSettings
    /// What was in force last.
    private let current: Mutex<KeyHolderSettings>
    let server: KeyHolderServer
    let keys: HSMKeyStore
    /// nil: there was no state folder at the start.
    let certificates: KeyHolderCertificates?
    let manager: CertificateManager?
    let logger: Logger

    /// One reading after another, and none on a thread that tasks share: files and HSMs take their time.
    private let thread = DispatchQueue(label: "reload")

    init(
        path: String, settings: KeyHolderSettings, server: KeyHolderServer, keys: HSMKeyStore,
        certificates: KeyHolderCertificates?, manager: CertificateManager?, logger: Logger
    ) {
        self.path = path
        self.settings = settings
        self.current = Mutex(settings)
        self.server = server
        self.keys = keys
        self.certificates = certificates
        self.manager = manager
        self.logger = logger
    }

    func reload(revokingReplaced: Bool = false) async -> ReloadReport {
        await withCheckedContinuation { done in
            self.thread.async { done.resume(returning: self.reloadInTurn(revokingReplaced)) }
        }
    }

    var identity: IdentitySettings { self.current.withLock { $0.identity } }
    var handOver: HandOverSettings { self.current.withLock { $0.handOver } }

    /// Reads the identity's files again, and nothing else that the configuration says, but for the sites' files.
    func renewIdentity() async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            self.thread.async {
                done.resume(
                    with: Result {
                        try self.server.checkNotHandingOver()
                        let configuration = try KeyHolderConfiguration(self.current.withLock { $0 }, keys: self.keys)
                        try self.server.reload(configuration)
                    })
            }
        }
    }

    /// Lines go on in a new file of that name.
    func reopenAudit() async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            self.thread.async { done.resume(with: Result { try self.server.reopenAudit() }) }
        }
    }

    private func reloadInTurn(_ revokingReplaced: Bool) -> ReloadReport {
        var report = self.read(revokingReplaced)
        do { try self.server.reopenAudit() } catch {
            report.messages.append("still writing to the old audit file: \(error)")
        }
        report.log(to: self.logger)
        return report
    }

    /// Whatever is wrong with the new file, the key holder goes on as it was.
    private func read(_ revokingReplaced: Bool) -> ReloadReport {
        let fresh: KeyHolderSettings
        let warnings: [SettingsDiagnostic]
        do throws(SettingsError) {
            (fresh, warnings) = try Settings.loadKeyHolder(path: self.path)
        } catch {
            return ReloadReport(refused: error)
        }
        do {
            // The state folder is the other process's by then.
            try self.server.checkNotHandingOver()
            let managed = ManagedSite.all(of: fresh)
            if let certificates {
                try certificates.prepare(fresh)
            } else if !managed.isEmpty {
                throw KeyHolderCertificates.StateMoved()
            }
            let configuration = try KeyHolderConfiguration(fresh, keys: self.keys)
            try self.server.reload(configuration, revokingReplaced: revokingReplaced)
            self.current.withLock { $0 = fresh }
            Startup.change(fresh.log)
            self.certificates?.serve(self.server, configuration)
            self.manager?.update(managed)
        } catch {
            return ReloadReport(refused: error, warnings: warnings)
        }
        return ReloadReport(
            reloaded: true, messages: warnings.map { "\($0)" }, restart: self.settings.restarts(for: fresh))
    }
}

extension KeyHolderSettings {
    /// Keys whose change takes a restart.
    fileprivate func restarts(for fresh: KeyHolderSettings) -> [String] {
        var keys: [String] = []
        if fresh.admin != self.admin { keys.append("admin") }
        if fresh.audit != self.audit { keys.append("audit") }
        if fresh.hsm != self.hsm { keys.append("hsm") }
        if fresh.limits != self.limits { keys.append("limits") }
        if fresh.listen != self.listen { keys.append("listen") }
        if fresh.monitoring != self.monitoring { keys.append("monitoring") }
        if fresh.native != self.native { keys.append("native") }
        if fresh.threads != self.threads { keys.append("threads") }
        return keys
    }
}

/// From what a key holder's file says to what the key holder is told.
extension KeyHolderConfiguration {
    init(_ settings: KeyHolderSettings, keys: HSMKeyStore) throws {
        self.init(
            listen: settings.listen.map { [PeerAddress(host: $0.host, port: $0.port)] } ?? [],
            credentials: try PeerCredentials(
                chainFile: settings.identity.certificate, keyFile: settings.identity.key,
                authorityFile: settings.identity.authority),
            sites: settings.sites.map { site in
                var configuration = SiteConfiguration(
                    certificates: site.certificates.map {
                        CertificateConfiguration(chain: .file($0.chain), key: KeySource($0.key))
                    },
                    domains: site.domains,
                    handshakes: HandshakeSettings(site.tls),
                    application: site.application.map { ApplicationConfiguration($0) })
                configuration.coversLater = site.acme != nil
                return configuration
            },
            grants: settings.grants.map { grant in
                GrantConfiguration(
                    edge: grant.edge, sites: grant.sites, operations: grant.operations, rate: grant.rate,
                    rates: grant.rates, times: grant.times)
            },
            audit: settings.audit.target, keyStore: keys)
        self.audit.key = settings.audit.key
        self.audit.head = settings.audit.head
        self.audit.checkpoint = TimeAmount(settings.audit.checkpoint)
        self.dial = settings.dial.map { PeerAddress(host: $0.host, port: $0.port) }
        self.lease = TimeAmount(settings.lease)
        self.grace = TimeAmount(settings.grace)
        self.limits.connections = settings.limits.connections
        self.limits.inFlight = settings.limits.inFlight
        self.limits.packetsPerEdge = settings.limits.packets
        self.limits.clientHandshakesPerEdge = settings.limits.clientHandshakes
        self.limits.clientHandshakeTimeout = TimeAmount(settings.limits.clientHandshakeTimeout)
        self.limits.signingThreads = settings.threads
        self.native = settings.native.map {
            NativeConfiguration(listen: [PeerAddress(host: $0.host, port: $0.port)])
        }
    }
}

extension ApplicationConfiguration {
    init(_ application: KeyHolderSettings.Application) {
        let address: Address =
            switch application.address {
            case .tcp(let endpoint): .tcp(host: endpoint.host, port: endpoint.port)
            case .unix(let path): .unix(path: path)
            }
        self.init(
            address: address, proxyProtocol: application.proxyProtocol == .v2,
            variants: Set(application.variants.compactMap { NativeVariant(name: $0.rawValue) }))
    }
}
