import Edge
import EdgeModel
import Logging
import NIOConcurrencyHelpers
import Settings

/// Has an edge serve by its configuration file as it is now. One reload after another: what is read last is in force last.
actor EdgeReloader {
    let path: String
    /// What the edge serves by; its fleet is told of it.
    let settings: NIOLockedValueBox<EdgeSettings>
    let server: EdgeServer
    let logger: Logger

    private var last: Task<ReloadReport, Never>?

    init(path: String, settings: NIOLockedValueBox<EdgeSettings>, server: EdgeServer, logger: Logger) {
        self.path = path
        self.settings = settings
        self.server = server
        self.logger = logger
    }

    func reload() async -> ReloadReport {
        let before = self.last
        let task = Task {
            _ = await before?.value
            let report = await self.read()
            report.log(to: self.logger)
            return report
        }
        self.last = task
        return await task.value
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
        do {
            try await self.server.reload(try EdgeConfiguration(fresh))
        } catch {
            return ReloadReport(refused: error, warnings: warnings)
        }
        let restart = self.settings.withLockedValue { settings in
            let before = settings
            // What takes a restart is as it was until then.
            settings = fresh
            settings.keep(fromStart: before)
            return before.restarts(for: fresh)
        }
        self.logger.notice("reloaded", metadata: ["sites": "\(fresh.sites.count)"])
        return ReloadReport(reloaded: true, messages: warnings.map { "\($0)" }, restart: restart)
    }
}

extension EdgeSettings {
    /// Keys whose change takes a restart.
    func restarts(for fresh: EdgeSettings) -> [String] {
        var keys: [String] = []
        if fresh.admin != self.admin { keys.append("admin") }
        if fresh.cache != self.cache { keys.append("cache") }
        if fresh.fleet != self.fleet { keys.append("fleet") }
        if fresh.log != self.log { keys.append("log") }
        if fresh.threads != self.threads { keys.append("threads") }
        if fresh.limits.connections != self.limits.connections { keys.append("limits.connections") }
        return keys
    }

    mutating func keep(fromStart before: EdgeSettings) {
        self.admin = before.admin
        self.cache = before.cache
        self.fleet = before.fleet
        self.log = before.log
        self.threads = before.threads
        self.limits.connections = before.limits.connections
    }
}
