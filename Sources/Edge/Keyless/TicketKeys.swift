/// When the keys of a keyless domain's session tickets are replaced, so that no ticket is older than the site allows.
///
/// The TLS library has no setting for it: a ticket of its own says two days, each resumption renews it, and only after seven
/// days from the full handshake is there an end. But a TLS context has ticket keys of its own. So a context is used for one
/// lifetime and no longer: a ticket cannot be older than the keys that open it, and neither can a chain of renewed ones.
///
/// Pure: times are arguments, in monotonic nanoseconds.
struct TicketKeys: Equatable {
    private let lifetime: Int64
    /// When the present keys are to be replaced; ``Swift/Int64/max`` while there are none.
    private(set) var due: Int64 = .max

    /// - Parameter lifetime: More than 0.
    init(lifetime: Int64) {
        self.lifetime = lifetime
    }

    /// New keys are in use from now on.
    mutating func made(at now: Int64) {
        let (due, overflows) = now.addingReportingOverflow(self.lifetime)
        self.due = overflows ? .max : due
    }

    /// There are no keys any more: the domain is not served.
    mutating func dropped() {
        self.due = .max
    }

    /// Whether the present keys have served their time.
    func areOver(at now: Int64) -> Bool { now >= self.due }
}
