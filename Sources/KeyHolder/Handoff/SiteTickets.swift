import Synchronization
import TLSEngine

/// One site's ticket keys. Without a file they are made here, replaced by time, and gone when the process ends or the certificate changes.
/// With one they are what the site's other key holders have as well, and are replaced when the file changes.
final class SiteTickets: Sendable {
    /// What the keys are derived for.
    let site: String
    /// Where the secrets come from; nil: from here.
    let file: String?
    let keys: SiteTicketKeys
    /// Of sessions without forward secrecy, which must not come back where none is begun.
    let rsaKeyExchangeKeys: SiteTicketKeys

    private struct State {
        /// When the next secret of our own is due; monotonic nanoseconds.
        var due: UInt64?
        /// What the keys are from.
        var inUse: TicketKeyFile?
        /// Why the file is not taken now.
        var problem: SiteLoadError?
    }

    private let state = Mutex(State())

    /// Of a secret of our own: as long as a ticket lives, so that the one before opens all tickets that are still good.
    static let period: UInt64 = 2 * 86_400 * 1_000_000_000

    private init(site: String, file: String?) {
        self.site = site
        self.file = file
        self.keys = SiteTicketKeys(site: site)
        // No domain has a space.
        self.rsaKeyExchangeKeys = SiteTicketKeys(site: site + " with RSA key exchange")
    }

    /// Keys of our own.
    convenience init(site: String) { self.init(site: site, file: nil) }

    /// - Throws: if the file cannot be read or used.
    convenience init(site: String, sharedIn file: String) throws(SiteLoadError) {
        self.init(site: site, file: file)
        try self.reread()
    }

    /// To be called now and then, with monotonic nanoseconds.
    func tick(now: UInt64) {
        guard self.file == nil else { return }
        let isDue: Bool = self.state.withLock { state in
            defer { if now >= state.due ?? 0 { state.due = now + Self.period } }
            return state.due.map { now >= $0 } ?? false
        }
        guard isDue else { return }
        self.keys.rotate()
        self.rsaKeyExchangeKeys.rotate()
    }

    /// Reads the file again. Blocks, as files do.
    ///
    /// - Returns: Whether there are other keys now; always false without a file.
    /// - Throws: if it cannot be read or used: the keys stay as they were.
    @discardableResult
    func reread() throws(SiteLoadError) -> Bool {
        guard let file = self.file else { return false }
        let fresh = try TicketKeyFile(contentsOf: file)
        return try self.state.withLock { state throws(SiteLoadError) in
            state.problem = nil
            guard state.inUse != fresh else { return false }
            do throws(EngineError) {
                try self.keys.replace(fresh.secrets)
                try self.rsaKeyExchangeKeys.replace(fresh.secrets)
            } catch {
                throw .ticketKeys(file, "\(error)")
            }
            state.inUse = fresh
            return true
        }
    }

    /// What came of reading the file again.
    enum News {
        case none
        case replaced
        /// Told once, as long as the reason stays.
        case problem(SiteLoadError)
    }

    /// ``reread()`` for a clock.
    func news() -> News {
        do throws(SiteLoadError) { return try self.reread() ? .replaced : .none } catch {
            let isNew: Bool = self.state.withLock { state in
                defer { state.problem = error }
                return state.problem != error
            }
            return isNew ? .problem(error) : .none
        }
    }
}
