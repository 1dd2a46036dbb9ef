import NIOCore

/// The next of many deadlines, each of which may be set anew or taken back at any time: in a time that grows with the number's logarithm. Pure.
struct DeadlineHeap {
    /// Whose deadline it is. In one heap only.
    final class Entry {
        let id: UInt64
        fileprivate(set) var deadline = NIODeadline.distantFuture
        fileprivate var position: Int?

        init(id: UInt64) { self.id = id }
    }

    private var entries: [Entry] = []

    var next: NIODeadline? { self.entries.first?.deadline }

    /// Sets an entry's deadline, or another one.
    mutating func set(_ entry: Entry, to deadline: NIODeadline) {
        if let position = entry.position {
            let former = entry.deadline
            entry.deadline = deadline
            if deadline < former { self.rise(position) } else { self.sink(position) }
        } else {
            entry.deadline = deadline
            entry.position = self.entries.count
            self.entries.append(entry)
            self.rise(self.entries.count - 1)
        }
    }

    /// The entry has no deadline any more.
    mutating func remove(_ entry: Entry) {
        guard let position = entry.position else { return }
        entry.position = nil
        let last = self.entries.removeLast()
        guard last !== entry else { return }
        self.place(last, at: position)
        self.rise(position)
        if let position = last.position { self.sink(position) }
    }

    /// The entry whose deadline was first, if it has come. It has none any more.
    mutating func removeFirst(due now: NIODeadline) -> Entry? {
        guard let first = self.entries.first, first.deadline <= now else { return nil }
        self.remove(first)
        return first
    }

    private mutating func place(_ entry: Entry, at position: Int) {
        entry.position = position
        self.entries[position] = entry
    }

    private mutating func rise(_ start: Int) {
        var position = start
        let entry = self.entries[position]
        while position > 0 {
            let parent = (position - 1) / 2
            guard entry.deadline < self.entries[parent].deadline else { break }
            self.place(self.entries[parent], at: position)
            position = parent
        }
        self.place(entry, at: position)
    }

    private mutating func sink(_ start: Int) {
        var position = start
        let entry = self.entries[position]
        while true {
            var child = 2 * position + 1
            guard child < self.entries.count else { break }
            if child + 1 < self.entries.count, self.entries[child + 1].deadline < self.entries[child].deadline {
                child += 1
            }
            guard self.entries[child].deadline < entry.deadline else { break }
            self.place(self.entries[child], at: position)
            position = child
        }
        self.place(entry, at: position)
    }
}
