import NIOCore

/// Remembers a bounded number of DNS answers, or failures, for a short time. Pure: time is an argument.
///
/// The system's resolver does not tell how long an answer is valid, so every one is kept for the same, short time.
struct ResolverCache<Answer> {
    private struct Entry {
        var answer: Answer
        var expiry: NIODeadline
    }

    private var entries: [String: Entry] = [:]
    private let capacity: Int
    private let lifetime: TimeAmount

    init(capacity: Int, lifetime: TimeAmount) {
        self.capacity = capacity
        self.lifetime = lifetime
    }

    var count: Int { self.entries.count }

    /// The answer for a name, if there is one that is not too old.
    func answer(for host: String, now: NIODeadline) -> Answer? {
        guard let entry = self.entries[host], now < entry.expiry else { return nil }
        return entry.answer
    }

    /// Keeps an answer. When full, what has expired goes; if nothing has, the answer that would expire first.
    mutating func store(_ answer: Answer, for host: String, now: NIODeadline) {
        guard self.capacity > 0 else { return }
        if self.entries.count >= self.capacity && self.entries[host] == nil {
            self.entries = self.entries.filter { now < $0.value.expiry }
            if self.entries.count >= self.capacity,
                let oldest = self.entries.min(by: { $0.value.expiry < $1.value.expiry })
            {
                self.entries[oldest.key] = nil
            }
        }
        self.entries[host] = Entry(answer: answer, expiry: now + self.lifetime)
    }
}
