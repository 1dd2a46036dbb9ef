import Admin
import ArgumentParser
import Channels
import Edge
import EdgeHTTP
import FleetLink
import NIOConcurrencyHelpers
import ServiceLifecycle
import Settings
import Telemetry

/// `latchstring edge`: the edge as a process.
struct EdgeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edge",
        abstract: "Serve sites to clients, without their private keys.",
        discussion: """
            Reads a YAML file such as Examples/edge.yaml; `latchstring check --config FILE` says what is wrong with it.
            Logs to standard error: JSON lines, or readable text on a terminal. SIGHUP, or `latchstring reload`, has it \
            read the file again: new clients are served by it, open connections go on. SIGUSR1 has it open the access log's \
            file again. SIGUSR2 has it start the program at its path, give that its sockets, and end once that serves. Ends on \
            SIGTERM or SIGINT, after connections had the time of `drain` to finish. Takes sockets from systemd (LISTEN_FDS), \
            and tells it how it is (NOTIFY_SOCKET).
            """)

    @Option(help: "The edge's configuration file.")
    var config: String

    @Flag(help: .hidden)
    var inspectable = false

    func run() async throws {
        Startup.keepHeap()
        Startup.ignoreSignals()
        let environment = try Startup.environment()
        let path = self.config
        let settings = try Startup.settings { () throws(SettingsError) in try Settings.loadEdge(path: path) }
        let logger = Startup.logger(settings.log, label: "edge")
        MemoryProtection.forbidDumps(inspectable: self.inspectable, logger: logger)
        DescriptorLimit.raise()
        let metrics = Startup.metrics(role: "edge", domains: settings.domainCount)
        let accessLog = try await Startup.accessLog(settings.accessLog, logger: logger)
        defer { accessLog.flush(milliseconds: 2000) }
        let readiness = EdgeReadiness()
        let cache = CacheAdministration()
        let fleetStatus = FollowStatus()
        let current = NIOLockedValueBox(settings)
        let configuration = try Startup.orExit {
            var configuration = try EdgeConfiguration(settings)
            if let fleet = settings.fleet, let identity = settings.identity {
                let facts = FleetFacts(settings: current, metrics: metrics, readiness: readiness)
                configuration.fleet = try FleetMembership(
                    fleet, identity: identity, cache: settings.cache, facts: { facts.heartbeat() })
            }
            return configuration
        }
        var succession = EdgeSuccession()
        succession.inherited = environment.inherited
        var predecessor: Predecessor?
        if let link = environment.link {
            let before = try await Predecessor(link)
            predecessor = before
            succession.predecessor = .init(
                claim: { try await before.claim() }, relieve: { try await before.relieve($0) },
                purge: { await before.purge() })
        }
        let gate = StartGate()
        let server = EdgeServer(
            configuration: configuration, logger: logger, readiness: readiness, cache: cache, fleetStatus: fleetStatus,
            accessLog: accessLog, succession: succession
        ) { _ in gate.open() }
        let reloader = EdgeReloader(
            path: path, settings: current, server: server, accessLog: accessLog, logger: logger)
        let notifier = environment.notifier
        let status: @Sendable () -> String = {
            let sites = current.withLockedValue { $0.sites.count }
            return sites == 1 ? "serving one site" : "serving \(sites) sites"
        }
        let reload = notifier.telling({ await reloader.reload() }, status, logger: logger)
        let term = IdentityTerm()
        var services: [any Service] = []
        var admins: [AdminServer] = []
        if settings.admin != nil || settings.monitoring != nil {
            let health = EdgeHealth(readiness: readiness, cache: cache, settings: current)
            var checks = health.checks + [term.healthCheck]
            if settings.fleet != nil {
                checks.append(
                    HealthCheck(name: "fleet") {
                        let status = fleetStatus.value
                        if let problem = status.problem { return .degraded(problem) }
                        return status.isFollowing ? .ok : .degraded("the purges of the fleet are being read")
                    })
            }
            if let admin = settings.admin {
                admins.append(
                    try await Startup.admin(
                        admin.endpoint, metrics: metrics, readiness: checks,
                        endpoints: CacheEndpoints(
                            administration: cache, fleet: try Startup.orExit { try FleetOrders(settings) }
                        ).all + [health.endpoint, ReloadReport.endpoint { $0 ? .noKeys : await reload() }],
                        token: try admin.token.map { try Startup.adminToken($0) }, inherited: environment.inherited,
                        logger: logger))
            }
            if let monitoring = settings.monitoring {
                let tls = try Startup.monitoringTLS(monitoring)
                admins.append(
                    try await Startup.monitoring(
                        monitoring, tls: tls, metrics: metrics, readiness: checks, endpoints: [health.endpoint],
                        inherited: environment.inherited, logger: logger))
                services.append(IdentityWatch(monitoring, tls, logger))
            }
        }
        // A successor's admin ports stay with the process before until this one serves.
        let opening = predecessor == nil ? nil : StartGate()
        for admin in admins { services.append(OpenedLater(service: admin, gate: opening)) }
        services.append(server)
        services.append(
            ReopenOnUserSignal(log: "access log", reopen: { try await accessLog.reopen() }, logger: logger))
        services.append(ReloadOnHangUp(reload: reload))
        services.append(
            IdentityWatch(
                identity: { current.withLockedValue { $0.identity } }, renew: { try await reloader.renewIdentity() },
                term: term, logger: logger))
        let end = NIOLockedValueBox<(@Sendable () async -> Void)?>(nil)
        services.append(
            HandOverOnSignal(
                EdgeParty(server: server, admins: admins),
                plan: { HandOverPlan(current.withLockedValue { $0.handOver }) }, notifier: notifier, logger: logger
            ) {
                if let end = end.withLockedValue({ $0 }) { await end() }
            })
        services.append(
            ServiceReports(
                environment: environment, predecessor: predecessor, gate: gate, serves: { opening?.open() },
                turn: { await server.turn() },
                status: status, logger: logger))
        // A second to empty the sockets' queues, some for stores, and two for the access log.
        let time: @Sendable () -> Duration = { current.withLockedValue { $0.drain } + .seconds(10) }
        try await Startup.run(services, within: time, logger: logger) { stop in end.withLockedValue { $0 = stop } }
    }
}
