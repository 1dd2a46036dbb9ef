import AuditChain
import Dispatch
import Logging
import SecretFiles
import Synchronization

/// Writes where the chain stands into a file, on a thread of its own: a disk's patience is not the audit's.
final class HeadFile: Sendable {
    private let path: String
    private let logger: Logger
    private let queue = DispatchQueue(label: "audit head")
    private let isFailing = Mutex(false)

    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    func note(_ position: ChainPosition) {
        self.queue.async { self.write(position) }
    }

    /// Waits for what was noted. Blocks.
    func finish() { self.queue.sync {} }

    private func write(_ position: ChainPosition) {
        do throws(SecretFile.WriteError) {
            try SecretFile.write(AuditHead.text(position), to: self.path)
            self.isFailing.withLock { $0 = false }
        } catch {
            let isNews: Bool = self.isFailing.withLock { isFailing in
                defer { isFailing = true }
                return !isFailing
            }
            guard isNews else { return }
            self.logger.warning(
                "where the audit's chain stands cannot be remembered; a cut that is made while the key holder does not run would not be seen",
                metadata: ["reason": "\(error)"])
        }
    }
}
