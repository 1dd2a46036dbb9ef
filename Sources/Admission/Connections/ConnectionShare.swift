/// How far a client's connection has got.
public enum ConnectionStage: Int, CaseIterable, Sendable {
    /// No whole hello yet.
    case silent
    /// The handshake is under way.
    case shaking
    /// It serves, or rests between two requests.
    case established
}

/// Which connections may be open at once: a bound for all, one for each client's network, and one for each block of networks
/// (``ClientNetwork/block``). Pure.
///
/// Where there is no room, a connection that has not got far gives way to the new one: without a hello, then in its
/// handshake, then at rest; the oldest, and of the network that has the most. A network never takes the place of another
/// that has no more connections than itself, so what one sender opens ends its own connections first. Connections of exempt
/// networks have no bound but the one for all, and give way to each other only.
///
/// Memory: one record for each open connection and each network that has one. Every event takes constant time, but for
/// ``scanned`` connections that are looked at for one that rests.
///
/// Our bug: an event of a connection that is not there; ignored.
public struct ConnectionShare: Sendable {
    public enum Refusal: String, Hashable, Sendable {
        /// This network, or its block, has as many as one may have, and none of them gives way.
        case client
        /// There are as many as there may be, and none gives way to this one.
        case total
    }

    public enum Entry: Hashable, Sendable {
        case admitted
        /// In the place of another connection, which is not counted any more: the caller closes it.
        case inPlaceOf(UInt64, ConnectionStage)
        case refused(Refusal)
    }

    /// Places in lists, in the place of names to be looked up: most events change five of them.
    private typealias Place = Int32
    private static let none: Place = -1

    private struct Node {
        var id: UInt64
        var member: Place
        var stage: ConnectionStage
        var previous = ConnectionShare.none
        var next = ConnectionShare.none
    }

    private struct Queue {
        var first = ConnectionShare.none
        var last = ConnectionShare.none
    }

    private struct Member {
        var network: ClientNetwork?
        var count = 0
        var silent = Queue()
        var shaking = Queue()
        var established = Queue()

        subscript(stage: ConnectionStage) -> Queue {
            get {
                switch stage {
                case .silent: self.silent
                case .shaking: self.shaking
                case .established: self.established
                }
            }
            set {
                switch stage {
                case .silent: self.silent = newValue
                case .shaking: self.shaking = newValue
                case .established: self.established = newValue
                }
            }
        }
    }

    /// Records at places that are used again.
    private struct Records<Record: Sendable>: Sendable {
        private var records: [Record] = []
        private var free: [Place] = []

        mutating func add(_ record: Record) -> Place {
            if let place = self.free.popLast() {
                self.records[Int(place)] = record
                return place
            }
            self.records.append(record)
            return Place(self.records.count - 1)
        }

        mutating func remove(_ place: Place) { self.free.append(place) }

        subscript(place: Place) -> Record {
            get { self.records[Int(place)] }
            _modify { yield &self.records[Int(place)] }
        }
    }

    private struct Block {
        var count = 0
        var networks = Ranking<ClientNetwork>()
    }

    /// Established connections that are asked whether they rest, and networks that are looked at, for one new connection.
    public static let scanned = 16

    private var total: Int
    private var perClient: Int
    private var perBlock: Int
    private var nodes = Records<Node>()
    private var places: [UInt64: Place] = [:]
    private var members = Records<Member>()
    /// nil: the exempt ones.
    private var membersPlaces: [ClientNetwork?: Place] = [:]
    /// The networks by how many connections they have; without the exempt ones.
    private var networks = Ranking<ClientNetwork>()
    /// Where a network is less than its block.
    private var blocks: [ClientNetwork: Block] = [:]

    /// - Parameters:
    ///   - total: Connections at once; at least one.
    ///   - perClient: Of one network at once; at least one. The networks of one block may have twice as many together.
    public init(total: Int, perClient: Int) {
        self.total = max(1, total)
        self.perClient = max(1, perClient)
        self.perBlock = max(1, min(2 * self.perClient, self.total))
    }

    /// Other bounds, for connections that come from now on: those that are open stay.
    public mutating func setBounds(total: Int, perClient: Int) {
        self.total = max(1, total)
        self.perClient = max(1, perClient)
        self.perBlock = max(1, min(2 * self.perClient, self.total))
    }

    public var count: Int { self.places.count }

    /// A connection wants in.
    ///
    /// - Parameters:
    ///   - id: Rises with each connection.
    ///   - network: Where it comes from; nil if it is exempt.
    ///   - rests: Whether an established connection rests, so that it may give way.
    public mutating func enter(
        _ id: UInt64, from network: ClientNetwork?, stage: ConnectionStage = .silent, rests: (UInt64) -> Bool
    ) -> Entry {
        let network = network?.isExempt == true ? nil : network
        let own = self.membersPlaces[network].map { self.members[$0].count } ?? 0
        var entry = Entry.admitted
        if network != nil, own >= self.perClient {
            guard let victim = self.candidate(in: network, rests) else { return .refused(.client) }
            entry = self.displace(victim)
        } else if let network, network.hasBlock, self.blocks[network.block]?.count ?? 0 >= self.perBlock {
            guard let victim = self.candidate(inBlockOf: network, having: own, rests) else {
                return .refused(.client)
            }
            entry = self.displace(victim)
        } else if self.places.count >= self.total {
            guard let victim = self.candidate(for: network, having: own, rests) else { return .refused(.total) }
            entry = self.displace(victim)
        }
        self.add(id, network, stage)
        return entry
    }

    /// A connection has got further.
    public mutating func move(_ id: UInt64, to stage: ConnectionStage) {
        guard let place = self.places[id], self.nodes[place].stage != stage else { return }
        self.unlink(place)
        self.nodes[place].stage = stage
        self.link(place)
    }

    /// A connection is closed.
    public mutating func leave(_ id: UInt64) {
        guard let place = self.places.removeValue(forKey: id) else { return }
        self.unlink(place)
        let member = self.nodes[place].member
        self.nodes.remove(place)
        let network = self.members[member].network
        let before = self.members[member].count
        self.members[member].count -= 1
        if before == 1 {
            self.membersPlaces[network] = nil
            self.members.remove(member)
        }
        self.rank(network, from: before, by: -1)
    }

    // MARK: Who gives way

    private mutating func displace(_ place: Place) -> Entry {
        let node = self.nodes[place]
        self.leave(node.id)
        return .inPlaceOf(node.id, node.stage)
    }

    private mutating func candidate(in network: ClientNetwork?, _ rests: (UInt64) -> Bool) -> Place? {
        guard let member = self.membersPlaces[network] else { return nil }
        for stage in [ConnectionStage.silent, .shaking] {
            let oldest = self.members[member][stage].first
            if oldest != Self.none { return oldest }
        }
        for _ in 0..<Self.scanned {
            let place = self.members[member].established.first
            guard place != Self.none else { return nil }
            if rests(self.nodes[place].id) { return place }
            // It is asked again when the others have been.
            self.unlink(place)
            self.link(place)
        }
        return nil
    }

    /// Of the network of its block that has most.
    private mutating func candidate(
        inBlockOf network: ClientNetwork, having own: Int, _ rests: (UInt64) -> Bool
    ) -> Place? {
        guard let networks = self.blocks[network.block]?.networks, let most = networks.first,
            networks.highest ?? 0 > own
        else { return self.candidate(in: network, rests) }
        return self.candidate(in: most, rests) ?? self.candidate(in: network, rests)
    }

    private mutating func candidate(
        for network: ClientNetwork?, having own: Int, _ rests: (UInt64) -> Bool
    ) -> Place? {
        guard let network else {
            return self.candidate(in: nil, rests) ?? self.candidate(ofMoreThan: 0, rests)
        }
        return self.candidate(ofMoreThan: own, rests) ?? self.candidate(in: network, rests)
    }

    /// Of the networks with the most connections; among equals the one that has got least far, then the oldest.
    private mutating func candidate(ofMoreThan own: Int, _ rests: (UInt64) -> Bool) -> Place? {
        var looked = 0
        var next = self.networks.highest
        while let size = next, size > own, looked < Self.scanned {
            next = self.networks.next(below: size)
            var best: Place?
            for network in self.networks.names(at: size).prefix(Self.scanned - looked) {
                looked += 1
                guard let place = self.candidate(in: network, rests) else { continue }
                if let best, self.isBefore(best, place) { continue }
                best = place
            }
            if let best { return best }
        }
        return nil
    }

    private func isBefore(_ first: Place, _ second: Place) -> Bool {
        let (first, second) = (self.nodes[first], self.nodes[second])
        return (first.stage.rawValue, first.id) < (second.stage.rawValue, second.id)
    }

    // MARK: Records

    private mutating func add(_ id: UInt64, _ network: ClientNetwork?, _ stage: ConnectionStage) {
        self.leave(id)
        let member: Place
        if let known = self.membersPlaces[network] {
            member = known
        } else {
            member = self.members.add(Member(network: network))
            self.membersPlaces[network] = member
        }
        let before = self.members[member].count
        self.members[member].count += 1
        self.rank(network, from: before, by: 1)
        let place = self.nodes.add(Node(id: id, member: member, stage: stage))
        self.places[id] = place
        self.link(place)
    }

    /// - Parameters:
    ///   - before: Connections of the network until now.
    ///   - change: 1 or -1.
    private mutating func rank(_ network: ClientNetwork?, from before: Int, by change: Int) {
        guard let network else { return }
        self.networks.change(network, from: before, by: change)
        guard network.hasBlock else { return }
        self.blocks[network.block, default: Block()].count += change
        self.blocks[network.block]?.networks.change(network, from: before, by: change)
        if self.blocks[network.block]?.count == 0 { self.blocks[network.block] = nil }
    }

    /// At the end of its stage's queue.
    private mutating func link(_ place: Place) {
        let (member, stage) = (self.nodes[place].member, self.nodes[place].stage)
        let last = self.members[member][stage].last
        self.nodes[place].previous = last
        self.nodes[place].next = Self.none
        if last == Self.none {
            self.members[member][stage].first = place
        } else {
            self.nodes[last].next = place
        }
        self.members[member][stage].last = place
    }

    private mutating func unlink(_ place: Place) {
        let node = self.nodes[place]
        if node.previous == Self.none {
            self.members[node.member][node.stage].first = node.next
        } else {
            self.nodes[node.previous].next = node.next
        }
        if node.next == Self.none {
            self.members[node.member][node.stage].last = node.previous
        } else {
            self.nodes[node.next].previous = node.previous
        }
    }
}
