import Synchronization
import TLSEngine

/// The keys of a keyless domain's session tickets, which this process makes, keeps to itself and replaces in time. Shared by all event
/// loops, and by the generations of an edge that show the same certificate.
final class TicketKeys: Sendable {
    let keys: SiteTicketKeys
    private let schedule: Mutex<TicketKeySchedule>

    /// - Parameters:
    ///   - site: a ticket of another one is a stranger's.
    ///   - lifetime: nanoseconds, more than 0.
    ///   - now: monotonic nanoseconds.
    init(site: String, lifetime: Int64, now: Int64) {
        self.keys = SiteTicketKeys(site: site)
        self.schedule = Mutex(TicketKeySchedule(lifetime: lifetime, madeAt: now))
    }

    /// Replaces the keys if they have served their time: no ticket that was made before opens any more. If not, it changes nothing, so
    /// that several may see to it.
    ///
    /// - Returns: when to call again.
    func replaceIfOver(at now: Int64) -> Int64 {
        self.schedule.withLock { schedule in
            if schedule.areOver(at: now) {
                self.keys.renew()
                schedule.made(at: now)
            }
            return schedule.due
        }
    }
}
