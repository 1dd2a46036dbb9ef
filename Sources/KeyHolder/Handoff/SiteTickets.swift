import Synchronization
import TLSEngine

/// One site's ticket keys: made here, replaced by time, and gone when the process ends or the certificate changes.
final class SiteTickets: Sendable {
    /// What the keys are derived for.
    let site: String
    let keys: SiteTicketKeys
    /// Of sessions without forward secrecy, which must not come back where none is begun.
    let rsaKeyExchangeKeys: SiteTicketKeys
    /// When the next secret is due; monotonic nanoseconds.
    private let due = Mutex<UInt64?>(nil)

    /// Of a secret: as long as a ticket lives, so that the one before opens all tickets that are still good.
    static let period: UInt64 = 2 * 86_400 * 1_000_000_000

    init(site: String) {
        self.site = site
        self.keys = SiteTicketKeys(site: site)
        // No domain has a space.
        self.rsaKeyExchangeKeys = SiteTicketKeys(site: site + " with RSA key exchange")
    }

    /// To be called now and then, with monotonic nanoseconds.
    func tick(now: UInt64) {
        let isDue: Bool = self.due.withLock { due in
            defer { if now >= due ?? 0 { due = now + Self.period } }
            return due.map { now >= $0 } ?? false
        }
        guard isDue else { return }
        self.keys.rotate()
        self.rsaKeyExchangeKeys.rotate()
    }
}
