import ACMEClient
import Admin
import ArgumentParser
import Channels
import Foundation
import KeyHolder
import Logging
import NIOCore
import NIOPosix
import NativeHandshake
import PeerLink
import ServiceLifecycle
import Settings
import TLSWire
import Telemetry
import UnixSignals

/// `latchstring keyholder`: the key holder as a process.
struct KeyHolderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keyholder",
        abstract: "Own the private keys of your sites, and use them for the edges you grant.",
        discussion: """
            Reads a YAML file such as Examples/keyholder.yaml; `latchstring check --config FILE` says what is wrong with it.
            Logs to standard error: JSON lines, or readable text on a terminal. SIGHUP reads sites, grants, lease \
            and identity again, cuts off edges that lost their last grant, and opens the audit file again. Ends on SIGTERM or SIGINT, \
            after requests under way had up to 5 seconds to finish.
            """)

    @Option(help: "The key holder's configuration file.")
    var config: String

    @Flag(help: .hidden)
    var inspectable = false

    func run() async throws {
        let path = self.config
        let settings = try Startup.settings { () throws(SettingsError) in try Settings.loadKeyHolder(path: path) }
        let logger = Startup.logger(settings.log, label: "keyholder")
        MemoryProtection.forbidDumps(inspectable: self.inspectable, logger: logger)
        MemoryProtection.keepFromSwap(logger: logger)
        let descriptors = DescriptorLimit.raise()
        let metrics = Startup.metrics()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads ?? System.coreCount)
        let certificates = try Startup.orExit {
            let certificates = try settings.state.map { try KeyHolderCertificates(state: $0, logger: logger) }
            try certificates?.prepare(settings)
            return certificates
        }
        let server = try Startup.orExit {
            var configuration = try KeyHolderConfiguration(settings)
            configuration.fit(descriptors: descriptors, logger: logger)
            let server = try KeyHolderServer(
                configuration: configuration, group: group, logger: logger
            ) { addresses in
                for address in addresses {
                    logger.notice("listening", metadata: ["address": "\(Self.text(address))"])
                }
            }
            certificates?.serve(server, configuration)
            return server
        }
        let manager = certificates.map {
            CertificateManager(
                sites: ManagedSite.all(of: settings), state: $0.state, host: $0, group: group,
                userAgent: "latchstring/\(LatchstringVersion.text) (ACME client)", logger: logger)
        }
        var services: [any Service] = []
        if let admin = settings.admin {
            let audit = HealthCheck(name: "audit") {
                server.canAudit ? .ok : .failed("the audit log cannot keep up; operations are refused")
            }
            services.append(try await Startup.admin(admin, metrics: metrics, readiness: [audit], logger: logger))
        }
        services.append(server)
        if let manager { services.append(manager) }
        services.append(
            Reloader(
                path: path, settings: settings, server: server, certificates: certificates, manager: manager,
                logger: logger))
        try await Startup.run(services, logger: logger)
        try await group.shutdownGracefully()
    }

    private static func text(_ address: SocketAddress) -> String {
        SocketEndpoint(host: address.ipAddress ?? "\(address)", port: address.port ?? 0).description
    }
}

/// Reads the configuration again at each SIGHUP.
private struct Reloader: Service {
    var path: String
    var settings: KeyHolderSettings
    var server: KeyHolderServer
    /// nil: there was no state folder at the start.
    var certificates: KeyHolderCertificates?
    var manager: CertificateManager?
    var logger: Logger

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            self.reload()
        }
    }

    /// Whatever is wrong with the new file, the key holder goes on as it was.
    private func reload() {
        do {
            let (fresh, warnings) = try Settings.loadKeyHolder(path: self.path)
            for warning in warnings { Startup.complain("\(warning)") }
            let managed = ManagedSite.all(of: fresh)
            if let certificates {
                try certificates.prepare(fresh)
            } else if !managed.isEmpty {
                throw KeyHolderCertificates.StateMoved()
            }
            let configuration = try KeyHolderConfiguration(fresh)
            try self.server.reload(configuration)
            self.certificates?.serve(self.server, configuration)
            self.manager?.update(managed)
            let needsRestart: Bool =
                fresh.listen != self.settings.listen || fresh.native != self.settings.native
                || fresh.audit != self.settings.audit
                || fresh.admin != self.settings.admin || fresh.limits != self.settings.limits
                || fresh.threads != self.settings.threads || fresh.log != self.settings.log
            if needsRestart {
                self.logger.warning(
                    "listen, native, audit, admin, log, limits and threads change at the next start only")
            }
        } catch {
            self.logger.error("not reloaded; everything stays as it was", metadata: ["reason": "\(error)"])
        }
        do { try self.server.reopenAudit() } catch {
            self.logger.error("still writing to the old audit file", metadata: ["reason": "\(error)"])
        }
    }
}

/// From what a key holder's file says to what the key holder is told.
extension KeyHolderConfiguration {
    init(_ settings: KeyHolderSettings) throws {
        self.init(
            listen: [PeerAddress(host: settings.listen.host, port: settings.listen.port)],
            credentials: try PeerCredentials(
                chainFile: settings.identity.certificate, keyFile: settings.identity.key,
                authorityFile: settings.identity.authority),
            sites: settings.sites.map { site in
                var configuration = SiteConfiguration(
                    chain: .file(site.certificate), key: .file(site.key), domains: site.domains,
                    handshakes: HandshakeSettings(
                        minimumVersion: site.minimumTLSVersion.number, allowsRSAKeyExchange: site.allowsRSAKeyExchange),
                    application: site.application.map { ApplicationConfiguration($0) })
                configuration.coversLater = site.acme != nil
                return configuration
            },
            grants: settings.grants.map { grant in
                GrantConfiguration(
                    edge: grant.edge, sites: grant.sites, operations: grant.operations, rate: grant.rate)
            },
            audit: Self.destination(settings.audit))
        self.lease = TimeAmount(settings.lease)
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

    private static func destination(_ audit: KeyHolderSettings.Audit) -> AuditDestination {
        switch audit {
        case .standardOutput: .standardOutput
        case .file(let path): .file(path)
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
