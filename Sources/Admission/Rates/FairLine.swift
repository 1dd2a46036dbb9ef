import DequeModule

/// A line in which networks take turns, however many each of them has waiting. Bounded in number and time. Pure; times are
/// monotonic nanoseconds.
///
/// The networks of one block (``ClientNetwork/block``) have one turn among the others, and take turns in that. When the line is
/// full, the last one of the network with the most waiting, of the block with the most, makes room for one of a network or
/// block with fewer.
///
/// Our bug: an id that waits already joins again; refused. A leave of one that does not wait; ignored.
public struct FairLine<ID: Hashable & Sendable>: Sendable {
    public enum Entry: Hashable, Sendable {
        case waiting
        /// In the place of another, which waits no more.
        case inPlaceOf(ID)
        case full
    }

    private struct Block {
        var queues: [ClientNetwork: Deque<ID>] = [:]
        /// Networks in turn; each stands here once while it has anything waiting.
        var turn: Deque<ClientNetwork> = []
        var count = 0

        /// The first one of the network whose turn is at this place.
        mutating func popFirst(at place: Int) -> ID? {
            let network = self.turn.remove(at: place)
            let id = self.queues[network]?.popFirst()
            if id != nil { self.count -= 1 }
            if self.queues[network]?.isEmpty == true { self.queues[network] = nil } else { self.turn.append(network) }
            return id
        }

        mutating func remove(_ id: ID, of network: ClientNetwork) {
            self.queues[network]?.removeAll { $0 == id }
            self.count -= 1
            guard self.queues[network]?.isEmpty == true else { return }
            self.queues[network] = nil
            self.turn.removeAll { $0 == network }
        }
    }

    private let capacity: Int
    private let patience: UInt64
    private var waiting: [ID: ClientNetwork] = [:]
    private var blocks: [ClientNetwork: Block] = [:]
    /// Blocks in turn; each stands here once while it has anything waiting.
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

    /// How many would go before one more of this network, if no other joined.
    public func ahead(of network: ClientNetwork) -> Int {
        guard let block = self.blocks[network.block] else { return min(self.count, self.turn.count) }
        let own = block.queues[network]?.count
        let networks = block.turn.count + (own == nil ? 1 : 0)
        // Each other network has at most as many turns before it as this one, and one more.
        let inBlock = min(block.count, ((own ?? 0) + 1) * networks - 1)
        return min(self.count, (inBlock + 1) * self.turn.count - 1)
    }

    public mutating func join(_ id: ID, from network: ClientNetwork, now: UInt64) -> Entry {
        guard self.waiting[id] == nil else { return .full }
        var entry = Entry.waiting
        if self.waiting.count >= self.capacity {
            guard let last = self.last(forOneOf: network) else { return .full }
            self.leave(last)
            entry = .inPlaceOf(last)
        }
        self.waiting[id] = network
        self.append(id, network)
        self.deadlines.append((id, now + self.patience))
        return entry
    }

    private mutating func append(_ id: ID, _ network: ClientNetwork) {
        if self.blocks[network.block] == nil { self.turn.append(network.block) }
        self.blocks[network.block, default: Block()].count += 1
        if self.blocks[network.block]?.queues[network] == nil {
            self.blocks[network.block]?.turn.append(network)
        }
        self.blocks[network.block]?.queues[network, default: []].append(id)
    }

    /// Which one makes room for one of this network.
    private func last(forOneOf network: ClientNetwork) -> ID? {
        guard let longest = self.blocks.max(by: { $0.value.count < $1.value.count }) else { return nil }
        let queue = longest.value.queues.max { $0.value.count < $1.value.count }?.value
        if longest.key == network.block {
            guard let queue, queue.count > (longest.value.queues[network]?.count ?? 0) + 1 else { return nil }
            return queue.last
        }
        let own = self.blocks[network.block]?.count ?? 0
        return longest.value.count > own + 1 ? queue?.last : nil
    }

    /// The next in turn, taken out.
    ///
    /// - Parameter may: whether one of this network may go on; others keep their turn.
    public mutating func next(where may: (ClientNetwork) -> Bool = { _ in true }) -> ID? {
        for index in self.turn.indices {
            let name = self.turn[index]
            guard let place = self.blocks[name]?.turn.firstIndex(where: may) else { continue }
            self.turn.remove(at: index)
            let id = self.blocks[name]?.popFirst(at: place)
            if self.blocks[name]?.count == 0 { self.blocks[name] = nil } else { self.turn.append(name) }
            if let id { self.waiting[id] = nil }
            self.trim()
            return id
        }
        return nil
    }

    /// Where one that waits comes from.
    public func network(of id: ID) -> ClientNetwork? { self.waiting[id] }

    public mutating func leave(_ id: ID) {
        guard let network = self.waiting.removeValue(forKey: id) else { return }
        self.blocks[network.block]?.remove(id, of: network)
        if self.blocks[network.block]?.count == 0 {
            self.blocks[network.block] = nil
            self.turn.removeAll { $0 == network.block }
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
