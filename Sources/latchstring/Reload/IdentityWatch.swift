import Admin
import Edge
import Foundation
import KeyHolder
import Logging
import ServiceLifecycle
import Settings

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads the files of a party's identity again when they change. Certificate and key are two files: what does not fit together yet is
/// tried again when it changes once more. What the party cannot take now is tried again until it can.
struct IdentityWatch: Service {
    /// What is in force now.
    let identity: @Sendable () -> IdentitySettings?
    /// Reads the files, and nothing else of the configuration. Throws what is wrong with them; nothing has changed then.
    let renew: @Sendable () async throws -> Void
    /// The key in the configuration.
    var setting = "identity"
    var interval = Duration.seconds(5)
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var turns = IdentityTurns(self.state)
            while (try? await Task.sleep(for: self.interval)) != nil {
                let now = self.state
                guard turns.isDue(now) else { continue }
                do {
                    try await self.renew()
                    turns.read(now)
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
            }
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

    /// What tells one state of the files from another.
    private var state: [String] {
        guard let identity = self.identity() else { return [] }
        return [identity.certificate, identity.key, identity.authority].map { path in
            guard let facts = try? FileManager.default.attributesOfItem(atPath: path) else { return "\(path): none" }
            let number = (facts[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0
            let size = (facts[.size] as? NSNumber)?.uint64Value ?? 0
            let time = (facts[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(path): \(number) \(size) \(time)"
        }
    }
}

/// Which state of an identity's files is to be read. Pure.
struct IdentityTurns {
    private var read: [String]
    private var seen: [String]
    private var postponed: [String]?

    /// - Parameter state: in force already.
    init(_ state: [String]) {
        self.read = state
        self.seen = state
    }

    /// Asked once a turn. What is being written is left alone for a turn.
    mutating func isDue(_ now: [String]) -> Bool {
        defer { self.seen = now }
        return now != self.read && now == self.seen
    }

    /// It was read, with whatever result: it is not due again.
    mutating func read(_ now: [String]) { self.read = now }

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
