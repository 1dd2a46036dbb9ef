import Edge
import EdgeModel
import Logging
import Metrics
import NIOConcurrencyHelpers
import Settings
import Telemetry

/// Has an edge serve by its configuration file as it is now. One reload after another: what is read last is in force last.
actor EdgeReloader {
    let path: String
    /// What the edge serves by; its fleet is told of it.
    let settings: NIOLockedValueBox<EdgeSettings>
    let server: EdgeServer
    let accessLog: AccessLogWriter
    let logger: Logger

    private var last: Task<ReloadReport, Never>?

    init(
        path: String, settings: NIOLockedValueBox<EdgeSettings>, server: EdgeServer, accessLog: AccessLogWriter,
        logger: Logger
    ) {
        self.path = path
        self.settings = settings
        self.server = server
        self.accessLog = accessLog
        self.logger = logger
    }

    func reload() async -> ReloadReport {
        let before = self.last
        let task = Task {
            _ = await before?.value
            var report = await self.read()
            if !report.reloaded {
                // Who has moved the file away counts on that.
                do throws(AccessLogError) { try await self.accessLog.reopen() } catch {
                    report.messages.append("still writing to the old access log: \(error)")
                }
            }
            report.log(to: self.logger)
            return report
        }
        self.last = task
        return await task.value
    }

    /// Reads the identity's files again, and nothing else that the configuration says.
    func renewIdentity() async throws {
        let before = self.last
        let task = Task { () async -> (any Error)? in
            _ = await before?.value
            do {
                let configuration = try EdgeConfiguration(self.settings.withLockedValue { $0 })
                try await self.server.reload(configuration)
                return nil
            } catch {
                return error
            }
        }
        self.last = Task { ReloadReport(reloaded: await task.value == nil, messages: [], restart: []) }
        if let error = await task.value { throw error }
    }

    /// Whatever is wrong with the new file, the edge goes on as it was.
    private func read() async -> ReloadReport {
        let fresh: EdgeSettings
        let warnings: [SettingsDiagnostic]
        do throws(SettingsError) {
            (fresh, warnings) = try Settings.loadEdge(path: self.path)
        } catch {
            return ReloadReport(refused: error)
        }
        let log: OpenAccessLog?
        do {
            log = try fresh.accessLog.map { try OpenAccessLog($0.target, layout: $0.layout) }
            try await self.server.reload(try EdgeConfiguration(fresh))
            (MetricsSystem.factory as? PrometheusRegistry)?.allow(
                series: PrometheusRegistry.series(domains: fresh.domainCount))
        } catch {
            return ReloadReport(refused: error, warnings: warnings)
        }
        var messages = warnings.map { "\($0)" }
        do throws(AccessLogError) { try await self.accessLog.use(log) } catch {
            messages.append("still writing to the old access log: \(error)")
        }
        let restart = self.settings.withLockedValue { settings in
            let before = settings
            settings = fresh
            return settings.keepWhatTakesARestart(from: before)
        }
        Startup.change(fresh.log)
        self.logger.notice("reloaded", metadata: ["sites": "\(fresh.sites.count)"])
        return ReloadReport(reloaded: true, messages: messages, restart: restart)
    }
}

extension EdgeSettings {
    /// Of all sites.
    var domainCount: Int { self.sites.reduce(0) { $0 + $1.domains.count } }

    /// Takes over what changes at a start only.
    ///
    /// - Returns: the keys of it that differ.
    mutating func keepWhatTakesARestart(from before: EdgeSettings) -> [String] {
        var keys: [String] = []
        func keep<Value: Equatable>(_ key: String, _ path: WritableKeyPath<EdgeSettings, Value>) {
            guard self[keyPath: path] != before[keyPath: path] else { return }
            keys.append(key)
            self[keyPath: path] = before[keyPath: path]
        }
        keep("admin", \.admin)
        keep("cache", \.cache)
        keep("fleet", \.fleet)
        keep("monitoring", \.monitoring)
        keep("threads", \.threads)
        keep("limits.connections", \.limits.connections)
        return keys
    }
}
