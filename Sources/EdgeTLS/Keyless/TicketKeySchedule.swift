/// When the keys of a domain's session tickets are replaced, so that no ticket is older than the site allows.
///
/// A ticket says for how long it is good, but each resumption makes another one, and only after seven days from the full handshake
/// does the TLS library see an end to that. So keys are used for one lifetime and no longer: a ticket cannot be older than the keys
/// that open it, and neither can a chain of renewed ones.
///
/// Pure: times are arguments, in monotonic nanoseconds.
struct TicketKeySchedule: Equatable {
    private let lifetime: Int64
    /// When the present keys are to be replaced.
    private(set) var due: Int64

    /// - Parameters:
    ///   - lifetime: More than 0.
    ///   - now: when the first keys were made.
    init(lifetime: Int64, madeAt now: Int64) {
        self.lifetime = lifetime
        self.due = 0
        self.made(at: now)
    }

    /// New keys are in use from now on.
    mutating func made(at now: Int64) {
        let (due, overflows) = now.addingReportingOverflow(self.lifetime)
        self.due = overflows ? .max : due
    }

    /// Whether the present keys have served their time.
    func areOver(at now: Int64) -> Bool { now >= self.due }
}
