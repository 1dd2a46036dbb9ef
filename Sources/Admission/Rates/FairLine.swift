import DequeModule

/// A line in which networks take turns, however many each of them has waiting. Bounded in number and time. Pure; times are
/// monotonic nanoseconds.
///
/// When it is full, the last one of the network with the most waiting makes room for one of a network with fewer.
///
/// Our bug: an id that waits already joins again; refused. A leave of one that does not wait; ignored.
public struct FairLine<ID: Hashable & Sendable>: Sendable {
    public enum Entry: Hashable, Sendable {
        case waiting
        /// In the place of another, which waits no more.
        case inPlaceOf(ID)
        case full
    }

    private let capacity: Int
    private let patience: UInt64
    private var waiting: [ID: ClientNetwork] = [:]
    private var queues: [ClientNetwork: Deque<ID>] = [:]
    /// Networks in turn; each stands here once while it has anything waiting.
    private var turn: Deque<ClientNetwork> = []
    /// In the order of their coming, which is that of their deadlines; may name some that have left.
    private var deadlines: Deque<(id: ID, time: UInt64)> = []

    /// - Parameters:
    ///   - capacity: How many wait at once.
    ///   - patience: How long one waits, in nanoseconds.
    public init(capacity: Int, patience: UInt64) {
        self.capacity = capacity
        self.patience = patience
    }

    public var count: Int { self.waiting.count }

    /// When ``expired(now:)`` finds one; nil if none waits.
    public var deadline: UInt64? { self.deadlines.first?.time }

    public mutating func join(_ id: ID, from network: ClientNetwork, now: UInt64) -> Entry {
        guard self.waiting[id] == nil else { return .full }
        var entry = Entry.waiting
        if self.waiting.count >= self.capacity {
            let own = self.queues[network]?.count ?? 0
            guard let longest = self.queues.max(by: { $0.value.count < $1.value.count }), longest.value.count > own + 1,
                let last = longest.value.last
            else { return .full }
            self.leave(last)
            entry = .inPlaceOf(last)
        }
        self.waiting[id] = network
        if self.queues[network] == nil { self.turn.append(network) }
        self.queues[network, default: []].append(id)
        self.deadlines.append((id, now + self.patience))
        return entry
    }

    /// The next in turn, taken out.
    ///
    /// - Parameter may: whether one of this network may go on; others keep their turn.
    public mutating func next(where may: (ClientNetwork) -> Bool = { _ in true }) -> ID? {
        for index in self.turn.indices where may(self.turn[index]) {
            let network = self.turn.remove(at: index)
            guard let id = self.queues[network]?.popFirst() else { return nil }
            self.waiting[id] = nil
            if self.queues[network]?.isEmpty == true { self.queues[network] = nil } else { self.turn.append(network) }
            self.trim()
            return id
        }
        return nil
    }

    /// Where one that waits comes from.
    public func network(of id: ID) -> ClientNetwork? { self.waiting[id] }

    public mutating func leave(_ id: ID) {
        guard let network = self.waiting.removeValue(forKey: id) else { return }
        self.queues[network]?.removeAll { $0 == id }
        if self.queues[network]?.isEmpty == true {
            self.queues[network] = nil
            self.turn.removeAll { $0 == network }
        }
        self.trim()
    }

    /// Those who have waited too long, taken out.
    public mutating func expired(now: UInt64) -> [ID] {
        var expired: [ID] = []
        while let first = self.deadlines.first, first.time <= now {
            if self.waiting[first.id] != nil { expired.append(first.id) }
            self.deadlines.removeFirst()
        }
        for id in expired { self.leave(id) }
        return expired
    }

    /// Forgets the deadlines of those who have left, so that there are never many more than wait.
    private mutating func trim() {
        while let first = self.deadlines.first, self.waiting[first.id] == nil { self.deadlines.removeFirst() }
        if self.deadlines.count > 2 * self.capacity + 16 {
            self.deadlines.removeAll { self.waiting[$0.id] == nil }
        }
    }
}
