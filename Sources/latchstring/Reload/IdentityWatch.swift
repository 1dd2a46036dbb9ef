import Admin
import Edge
import Foundation
import KeyHolder
import Logging
import SecretFiles
import ServiceLifecycle
import Settings

/// Reads the files of a party's identity again when they change. Certificate and key are two files: what does not fit together yet is
/// tried again when it changes once more. What the party cannot take now is tried again until it can.
struct IdentityWatch: Service {
    /// What is in force now.
    let identity: @Sendable () -> IdentitySettings?
    /// Reads the files, and nothing else of the configuration. Throws what is wrong with them; nothing has changed then.
    let renew: @Sendable () async throws -> Void
    /// The key in the configuration.
    var setting = "identity"
    /// Told what is in force; nil: these files are not the party's own identity.
    var term: IdentityTerm?
    var interval = Duration.seconds(5)
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var turns = IdentityTurns(self.state)
            var warnings = IdentityWarnings()
            var known: [String]?
            repeat {
                let now = self.state
                if turns.isInForce(now), now != known {
                    self.term?.read(self.identity()?.certificate)
                    known = now
                }
                self.warn(&warnings)
                guard turns.isDue(now) else { continue }
                do {
                    try await self.renew()
                    turns.read(now, isInForce: true)
                    self.logger.notice(
                        "the identity's files have changed: they are in force", metadata: ["setting": "\(self.setting)"]
                    )
                } catch  where Self.passes(error) {
                    guard turns.postpone(now) else { continue }
                    self.logger.warning(
                        "the identity's files have changed, and cannot be used yet; they are tried again",
                        metadata: [
                            "setting": "\(self.setting)", "reason": "\(error)", "interval": "\(self.interval)",
                        ])
                } catch {
                    turns.read(now)
                    self.logger.warning(
                        "the identity's files have changed, and are not used; the identity stays as it was",
                        metadata: ["setting": "\(self.setting)", "reason": "\(error)"])
                }
            } while (try? await Task.sleep(for: self.interval)) != nil
        }
    }

    /// The same may succeed in a moment.
    private static func passes(_ error: any Error) -> Bool {
        guard let error = error as? EdgeReloadError else { return error as? KeyHolderError == .handingOver }
        return switch error {
        case .notNow, .notLeased: true
        case .needsStore: false
        }
    }

    private func warn(_ warnings: inout IdentityWarnings) {
        guard let term else { return }
        let time = Int64(Date().timeIntervalSince1970)
        let outlook = term.outlook(at: time)
        if warnings.isDue(outlook, at: time) { IdentityWarnings.write(outlook, to: self.logger) }
    }

    /// What tells one state of the files from another: of the files themselves, wherever links lead.
    private var state: [String] {
        guard let identity = self.identity() else { return [] }
        return [identity.certificate, identity.key, identity.authority].map { path in
            "\(path): \(FileState(path: path)?.description ?? "none")"
        }
    }
}

/// Which state of an identity's files is to be read. Pure.
struct IdentityTurns {
    private var read: [String]
    private var inForce: [String]
    private var seen: [String]
    private var postponed: [String]?

    /// - Parameter state: in force already.
    init(_ state: [String]) {
        self.read = state
        self.inForce = state
        self.seen = state
    }

    /// Asked once a turn. What is being written is left alone for a turn.
    mutating func isDue(_ now: [String]) -> Bool {
        defer { self.seen = now }
        return now != self.read && now == self.seen
    }

    /// It was read: it is not due again.
    ///
    /// - Parameter isInForce: whether it could be used.
    mutating func read(_ now: [String], isInForce: Bool = false) {
        self.read = now
        if isInForce { self.inForce = now }
    }

    /// Whether this is what was read and used last.
    func isInForce(_ now: [String]) -> Bool { now == self.inForce }

    /// It stays due.
    ///
    /// - Returns: whether that is news.
    mutating func postpone(_ now: [String]) -> Bool {
        defer { self.postponed = now }
        return self.postponed != now
    }
}

extension IdentityWatch {
    /// For the files of the monitoring port.
    init(_ settings: MonitoringSettings, _ tls: AdminTLS, _ logger: Logger) {
        self.init(
            identity: { settings.identity }, renew: { try tls.reread() }, setting: "monitoring", logger: logger)
    }
}
