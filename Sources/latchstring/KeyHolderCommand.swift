import Admin
import ArgumentParser
import KeyHolder
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Settings
import UnixSignals

/// `latchstring keyholder`: the key holder as a process.
struct KeyHolderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keyholder",
        abstract: "Own the private keys of sites, and use them for the edges you grant.",
        discussion: """
            Reads a YAML file such as Examples/keyholder.yaml; `latchstring check --config FILE` says what is wrong with it.
            SIGHUP reads the file again: sites, grants and identity change at once, and an edge without a grant is cut \
            off. SIGTERM and SIGINT end it after requests under way have been answered.
            """)

    @Option(help: "The key holder's configuration file.")
    var config: String

    func run() async throws {
        let path = self.config
        let settings = try Startup.settings { () throws(SettingsError) in try Settings.loadKeyHolder(path: path) }
        let logger = Startup.logger(settings.log, label: "keyholder")
        let metrics = Startup.metrics()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads ?? System.coreCount)
        let server = try Startup.orExit {
            try KeyHolderServer(
                configuration: try KeyHolderConfiguration(settings), group: group, logger: logger,
                onReady: { addresses in
                    for address in addresses {
                        logger.notice(
                            "listening", metadata: ["address": "\(address.ipAddress ?? ""):\(address.port ?? 0)"])
                    }
                })
        }
        var services: [any Service] = []
        if let admin = settings.admin {
            services.append(try await Startup.admin(admin, metrics: metrics, readiness: [], logger: logger))
        }
        services.append(server)
        services.append(Reloading(server: server, path: path, logger: logger))
        try await Startup.run(services, logger: logger)
        try? await group.shutdownGracefully()
    }
}

/// Reads the configuration again at each SIGHUP. A file with errors changes nothing.
private struct Reloading: Service {
    let server: KeyHolderServer
    let path: String
    let logger: Logger

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        for await _ in signals.cancelOnGracefulShutdown() { self.reload() }
    }

    private func reload() {
        do {
            let settings = try Settings.loadKeyHolder(path: self.path).settings
            try self.server.reload(try KeyHolderConfiguration(settings))
        } catch {
            self.logger.error("reload failed, nothing changed", metadata: ["cause": "\(error)"])
        }
        do {
            try self.server.reopenAudit()
        } catch {
            self.logger.error("audit log not reopened", metadata: ["cause": "\(error)"])
        }
    }
}
