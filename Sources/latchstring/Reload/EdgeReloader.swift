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
            settings = fresh
            return settings.keepWhatTakesARestart(from: before)
        }
        self.logger.notice("reloaded", metadata: ["sites": "\(fresh.sites.count)"])
        return ReloadReport(reloaded: true, messages: warnings.map { "\($0)" }, restart: restart)
    }
}

extension EdgeSettings {
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
        keep("log", \.log)
        keep("threads", \.threads)
        keep("limits.connections", \.limits.connections)
        return keys
    }
}
