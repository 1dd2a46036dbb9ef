import Admin
import ArgumentParser
import CSystemShims
import Channels
import Logging
import Metrics
import SecretFiles
import ServiceLifecycle
import Settings
import Telemetry
import UnixSignals

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What the long-running subcommands have in common: settings, logging, metrics, admin port, signals.
enum Startup {
    /// Loads settings; prints every complaint and ends the process if there are errors.
    static func settings<Loaded>(
        _ load: () throws(SettingsError) -> (settings: Loaded, warnings: [SettingsDiagnostic])
    ) throws -> Loaded {
        do throws(SettingsError) {
            let (settings, warnings) = try load()
            for warning in warnings { complain("\(warning)") }
            return settings
        } catch {
            complain("\(error)")
            throw ExitCode.failure
        }
    }

    /// Until the process listens for them, these signals do nothing: their default would be the process's end.
    static func ignoreSignals() {
        for number in [SIGHUP, SIGUSR1, SIGUSR2] { signal(number, SIG_IGN) }
    }

    /// Takes what this process was started with, and its own path, before anything else opens files.
    static func environment() throws -> ServiceEnvironment {
        _ = SuccessorProcess.ownProgram
        do throws(InheritanceError) { return try ServiceEnvironment.take() } catch {
            complain("error: \(error)")
            throw ExitCode.failure
        }
    }

    /// Has the C library keep memory that comes and goes with each response or connection. By default it gives the end of a heap back
    /// when 128 KiB of it are free, and asks for it again at once: two system calls and the pages anew for each response of 100 KiB.
    static func keepHeap() {
        #if canImport(Glibc)
            _ = mallopt(M_TRIM_THRESHOLD, 4 << 20)
            // Set with it, since the library fits this one to what it sees only while neither is set.
            _ = mallopt(M_MMAP_THRESHOLD, 2 << 20)
            _ = mallopt(M_TOP_PAD, 256 << 10)
        #endif
    }

    /// Sets up logging for the whole process.
    static func logger(_ settings: LogSettings, label: String) -> Logger {
        LatchstringLogHandler.bootstrap(level: settings.lowest, format: settings.shape)
        return Logger(label: label)
    }

    /// What a reload makes of the log.
    static func change(_ settings: LogSettings) {
        LatchstringLogHandler.change(level: settings.lowest, format: settings.shape)
    }

    /// Opens the access log; without settings there is none, until a reload brings one.
    static func accessLog(_ settings: AccessLogSettings?, logger: Logger) async throws -> AccessLogWriter {
        let writer = AccessLogWriter(logger: logger)
        if let settings {
            try await writer.use(try Self.orExit { try OpenAccessLog(settings.target, layout: settings.layout) })
        }
        return writer
    }

    /// Sets up metrics for the whole process.
    ///
    /// - Parameter domains: that the configuration names: so many more series are kept.
    static func metrics(role: String, domains: Int) -> PrometheusRegistry {
        let registry = PrometheusRegistry(
            maximumSeries: PrometheusRegistry.series(domains: domains), help: MetricHelp.lines)
        MetricsSystem.bootstrap(registry)
        Gauge(
            label: "latchstring_build_info", dimensions: [("version", LatchstringVersion.text), ("role", role)]
        ).record(1)
        return registry
    }

    /// Opens the admin port.
    static func admin(
        _ endpoint: SocketEndpoint, metrics: PrometheusRegistry, readiness: [HealthCheck],
        endpoints: [AdminEndpoint] = [], token: AdminToken? = nil, inherited: InheritedListeners, logger: Logger
    ) async throws -> AdminServer {
        do {
            return try await AdminServer.bind(
                host: endpoint.host, port: endpoint.port, metrics: metrics, readiness: readiness,
                endpoints: endpoints, token: token, logger: logger, inherited: inherited)
        } catch {
            complain(
                "error: the admin port: \(SystemError.cannotListen(on: "\(endpoint)", port: endpoint.port, error))")
            throw ExitCode.failure
        }
    }

    /// Opens the port where monitoring systems elsewhere look.
    static func monitoring(
        _ settings: MonitoringSettings, tls: AdminTLS, metrics: PrometheusRegistry, readiness: [HealthCheck],
        endpoints: [AdminEndpoint] = [], inherited: InheritedListeners, logger: Logger
    ) async throws -> AdminServer {
        let endpoint = settings.endpoint
        do {
            return try await AdminServer.bind(
                host: endpoint.host, port: endpoint.port, metrics: metrics, readiness: readiness,
                endpoints: endpoints, tls: tls, logger: logger, inherited: inherited)
        } catch {
            complain(
                "error: the monitoring port: \(SystemError.cannotListen(on: "\(endpoint)", port: endpoint.port, error))"
            )
            throw ExitCode.failure
        }
    }

    /// Reads the files of the monitoring port.
    static func monitoringTLS(_ settings: MonitoringSettings) throws -> AdminTLS {
        let files = settings.identity
        do throws(AdminTLS.Unusable) {
            return try AdminTLS(certificate: files.certificate, key: files.key, clients: files.authority)
        } catch {
            complain("error: the monitoring port: \(error)")
            throw ExitCode.failure
        }
    }

    /// Reads the file with the admin port's token.
    static func adminToken(_ path: String) throws -> AdminToken {
        let text: String
        do throws(SecretFileError) { text = try SecretFile.read(path) } catch {
            complain("error: the admin token: \(error)")
            throw ExitCode.failure
        }
        do {
            return try AdminToken(text)
        } catch {
            complain("error: \(path): \(error). `openssl rand -hex 32` makes a good one.")
            throw ExitCode.failure
        }
    }

    /// Runs services until SIGTERM or SIGINT, or until one of them fails.
    ///
    /// - Parameters:
    ///   - time: the longest that their end may take; then the process ends without them.
    ///   - end: gets what has them shut down as a signal does.
    static func run(
        _ services: [any Service], within time: @escaping @Sendable () -> Duration, logger: Logger,
        end: (@escaping @Sendable () async -> Void) -> Void = { _ in }
    ) async throws {
        let services = services + [BoundedEnd(time: time, logger: logger)]
        let group = ServiceGroup(
            configuration: .init(
                services: services.map { .init(service: $0, failureTerminationBehavior: .gracefullyShutdownGroup) },
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        end { await group.triggerGracefulShutdown() }
        do {
            try await group.run()
        } catch {
            complain("error: \(error)")
            throw ExitCode.failure
        }
    }

    /// Does what may fail on bad input; says why and ends the process if it does.
    static func orExit<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            complain("error: \(error)")
            throw ExitCode.failure
        }
    }

    /// The same for what takes its time.
    static func awaitOrExit<Value>(_ body: () async throws -> Value) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        return try Self.orExit { try result.get() }
    }

    static func complain(_ text: String) {
        StandardError.write(text + "\n")
    }
}

extension LogSettings {
    fileprivate var lowest: Logger.Level { Logger.Level(rawValue: self.level.rawValue) ?? .info }
    fileprivate var shape: LogFormat { LogFormat(rawValue: self.format.rawValue) ?? .auto }
}
