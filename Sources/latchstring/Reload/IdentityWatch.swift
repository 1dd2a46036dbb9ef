import Foundation
import Logging
import ServiceLifecycle
import Settings

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads the files of a party's identity again when they change. Certificate and key are two files: what does not fit together yet is
/// tried again when it changes once more.
struct IdentityWatch: Service {
    /// What is in force now.
    let identity: @Sendable () -> IdentitySettings?
    /// Reads the files, and nothing else of the configuration. Throws what is wrong with them; nothing has changed then.
    let renew: @Sendable () async throws -> Void
    var interval = Duration.seconds(5)
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var read = self.state
            var seen = read
            while (try? await Task.sleep(for: self.interval)) != nil {
                let now = self.state
                // What is being written is left alone for a turn.
                defer { seen = now }
                guard now != read, now == seen else { continue }
                read = now
                do {
                    try await self.renew()
                    self.logger.notice("the identity's files have changed: they are in force")
                } catch {
                    self.logger.warning(
                        "the identity's files have changed, and are not used; the identity stays as it was",
                        metadata: ["reason": "\(error)"])
                }
            }
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
