import DequeModule

/// The requests on one connection that wait for their answers.
///
/// Pure: times are arguments. Ids are 32 bits and never one that still waits, so that an answer that comes after its
/// request timed out finds nothing, instead of another request.
///
/// Dropped silently: an answer to an id that does not wait (it timed out, or the peer invented it).
struct InFlight<Waiter> {
    struct Entry {
        var waiter: Waiter
        var sentAt: Int64
    }

    let limit: Int
    private var entries: [UInt32: Entry] = [:]
    private var deadlines: Deque<(id: UInt32, sentAt: Int64, deadline: Int64)> = []
    private var nextID: UInt32

    init(limit: Int, firstID: UInt32 = 1) {
        self.limit = limit
        self.nextID = firstID
    }

    var count: Int { self.entries.count }

    /// The id for a new request, or nil if the limit is reached.
    ///
    /// - Parameter exempt: whether the limit does not matter: a probe must get through a busy link, or it would be taken
    ///   for a dead one.
    mutating func add(_ waiter: Waiter, now: Int64, deadline: Int64, exempt: Bool = false) -> UInt32? {
        guard exempt || self.entries.count < self.limit else { return nil }
        while self.entries[self.nextID] != nil { self.nextID &+= 1 }
        let id = self.nextID
        self.nextID &+= 1
        self.entries[id] = Entry(waiter: waiter, sentAt: now)
        // Deadlines are nearly in order already, for one link has one time limit; an earlier one is moved forward.
        var position = self.deadlines.count
        while position > 0, self.deadlines[position - 1].deadline > deadline { position -= 1 }
        self.deadlines.insert((id, now, deadline), at: position)
        return id
    }

    mutating func take(_ id: UInt32) -> Entry? {
        let entry = self.entries.removeValue(forKey: id)
        self.forgetFinished()
        return entry
    }

    /// The requests whose deadline has come.
    mutating func expire(now: Int64) -> [(id: UInt32, waiter: Waiter)] {
        var expired: [(id: UInt32, waiter: Waiter)] = []
        while let first = self.deadlines.first, first.deadline <= now {
            self.deadlines.removeFirst()
            if let entry = self.entries[first.id], entry.sentAt == first.sentAt {
                self.entries.removeValue(forKey: first.id)
                expired.append((first.id, entry.waiter))
            }
        }
        self.forgetFinished()
        return expired
    }

    mutating func removeAll() -> [Waiter] {
        let all = self.entries.values.map(\.waiter)
        self.entries.removeAll()
        self.deadlines.removeAll()
        return all
    }

    var nextDeadline: Int64? { self.deadlines.first?.deadline }

    private mutating func forgetFinished() {
        while let first = self.deadlines.first, self.entries[first.id]?.sentAt != first.sentAt {
            self.deadlines.removeFirst()
        }
    }
}
