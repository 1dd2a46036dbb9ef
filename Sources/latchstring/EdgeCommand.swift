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
            file again. Ends on SIGTERM or SIGINT, after \
            connections had up to 10 seconds to finish.
            """)

    @Option(help: "The edge's configuration file.")
    var config: String

    @Flag(help: .hidden)
    var inspectable = false

    func run() async throws {
        Startup.keepHeap()
        Startup.ignoreHangUp()
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
        let server = EdgeServer(
            configuration: configuration, logger: logger, readiness: readiness, cache: cache, fleetStatus: fleetStatus,
            accessLog: accessLog)
        let reloader = EdgeReloader(
            path: path, settings: current, server: server, accessLog: accessLog, logger: logger)
        var services: [any Service] = []
        if let admin = settings.admin {
            let certificates = HealthCheck(name: "certificates") {
                let problems = readiness.problems.sorted { $0.key < $1.key }
                guard !problems.isEmpty else { return .ok }
                return .failed(problems.map { "\($0.key): \($0.value)" }.joined(separator: "; "))
            }
            var checks = [certificates]
            if settings.fleet != nil {
                checks.append(
                    HealthCheck(name: "fleet") {
                        let status = fleetStatus.value
                        if let problem = status.problem { return .degraded(problem) }
                        return status.isFollowing ? .ok : .degraded("the purges of the fleet are being read")
                    })
            }
            services.append(
                try await Startup.admin(
                    admin.endpoint, metrics: metrics, readiness: checks,
                    endpoints: CacheEndpoints(
                        administration: cache, fleet: try Startup.orExit { try FleetOrders(settings) }
                    ).all + [ReloadReport.endpoint { $0 ? .noKeys : await reloader.reload() }],
                    token: try admin.token.map { try Startup.adminToken($0) }, logger: logger))
        }
        services.append(server)
        services.append(ReloadOnHangUp { await reloader.reload() })
        services.append(ReopenOnUserSignal(log: accessLog, logger: logger))
        try await Startup.run(services, logger: logger)
    }
}
