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

    private struct Node {
        var network: ClientNetwork?
        var stage: ConnectionStage
        var previous: UInt64?
        var next: UInt64?
    }

    private struct Queue {
        var first: UInt64?
        var last: UInt64?
    }

    private struct Member {
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

    private struct Block {
        var count = 0
        var networks = Ranking<ClientNetwork>()
    }

    /// Established connections that are asked whether they rest, and networks that are looked at, for one new connection.
    public static let scanned = 16

    private var total: Int
    private var perClient: Int
    private var perBlock: Int
    private var nodes: [UInt64: Node] = [:]
    /// nil: the exempt ones.
    private var members: [ClientNetwork?: Member] = [:]
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

    public var count: Int { self.nodes.count }

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
        let own = self.members[network]?.count ?? 0
        var entry = Entry.admitted
        if network != nil, own >= self.perClient {
            guard let victim = self.candidate(in: network, rests) else { return .refused(.client) }
            entry = self.displace(victim)
        } else if let network, self.blocks[network.block]?.count ?? 0 >= self.perBlock {
            guard let victim = self.candidate(inBlockOf: network, having: own, rests) else {
                return .refused(.client)
            }
            entry = self.displace(victim)
        } else if self.nodes.count >= self.total {
            guard let victim = self.candidate(for: network, having: own, rests) else { return .refused(.total) }
            entry = self.displace(victim)
        }
        self.add(id, network, stage)
        return entry
    }

    /// A connection has got further.
    public mutating func move(_ id: UInt64, to stage: ConnectionStage) {
        guard var node = self.nodes[id], node.stage != stage else { return }
        self.unlink(id, node)
        node.stage = stage
        self.link(id, node)
    }

    /// A connection is closed.
    public mutating func leave(_ id: UInt64) {
        guard let node = self.nodes[id] else { return }
        self.unlink(id, node)
        self.nodes[id] = nil
        self.count(node.network, by: -1)
    }

    // MARK: Who gives way

    private mutating func displace(_ id: UInt64) -> Entry {
        let stage = self.nodes[id]?.stage ?? .silent
        self.leave(id)
        return .inPlaceOf(id, stage)
    }

    private mutating func candidate(in network: ClientNetwork?, _ rests: (UInt64) -> Bool) -> UInt64? {
        guard let member = self.members[network] else { return nil }
        if let oldest = member.silent.first ?? member.shaking.first { return oldest }
        for _ in 0..<Self.scanned {
            guard let id = self.members[network]?.established.first, let node = self.nodes[id] else { return nil }
            if rests(id) { return id }
            // It is asked again when the others have been.
            self.unlink(id, node)
            self.link(id, node)
        }
        return nil
    }

    /// Of the network of its block that has most.
    private mutating func candidate(
        inBlockOf network: ClientNetwork, having own: Int, _ rests: (UInt64) -> Bool
    ) -> UInt64? {
        guard let networks = self.blocks[network.block]?.networks, let most = networks.first,
            networks.highest ?? 0 > own
        else { return self.candidate(in: network, rests) }
        return self.candidate(in: most, rests) ?? self.candidate(in: network, rests)
    }

    private mutating func candidate(
        for network: ClientNetwork?, having own: Int, _ rests: (UInt64) -> Bool
    ) -> UInt64? {
        guard let network else {
            return self.candidate(in: nil, rests) ?? self.candidate(ofMoreThan: 0, rests)
        }
        return self.candidate(ofMoreThan: own, rests) ?? self.candidate(in: network, rests)
    }

    /// Of the networks with the most connections; among equals the one that has got least far, then the oldest.
    private mutating func candidate(ofMoreThan own: Int, _ rests: (UInt64) -> Bool) -> UInt64? {
        var looked = 0
        var next = self.networks.highest
        while let size = next, size > own, looked < Self.scanned {
            next = self.networks.next(below: size)
            var best: (stage: Int, id: UInt64)?
            for network in self.networks.names(at: size).prefix(Self.scanned - looked) {
                looked += 1
                guard let id = self.candidate(in: network, rests), let stage = self.nodes[id]?.stage.rawValue else {
                    continue
                }
                if let found = best, (found.stage, found.id) < (stage, id) { continue }
                best = (stage, id)
            }
            if let best { return best.id }
        }
        return nil
    }

    // MARK: Records

    private mutating func add(_ id: UInt64, _ network: ClientNetwork?, _ stage: ConnectionStage) {
        self.leave(id)
        self.count(network, by: 1)
        self.link(id, Node(network: network, stage: stage))
    }

    /// - Parameter change: 1 or -1.
    private mutating func count(_ network: ClientNetwork?, by change: Int) {
        let before = self.members[network]?.count ?? 0
        if before + change > 0 {
            self.members[network, default: Member()].count += change
        } else {
            self.members[network] = nil
        }
        guard let network else { return }
        self.networks.change(network, from: before, by: change)
        guard network.hasBlock else { return }
        self.blocks[network.block, default: Block()].count += change
        self.blocks[network.block]?.networks.change(network, from: before, by: change)
        if self.blocks[network.block]?.count == 0 { self.blocks[network.block] = nil }
    }

    private mutating func link(_ id: UInt64, _ node: Node) {
        var node = node
        let last = self.members[node.network]?[node.stage].last
        node.previous = last
        node.next = nil
        self.nodes[id] = node
        if let last { self.nodes[last]?.next = id }
        if last == nil { self.members[node.network]?[node.stage].first = id }
        self.members[node.network]?[node.stage].last = id
    }

    private mutating func unlink(_ id: UInt64, _ node: Node) {
        if let previous = node.previous {
            self.nodes[previous]?.next = node.next
        } else {
            self.members[node.network]?[node.stage].first = node.next
        }
        if let next = node.next {
            self.nodes[next]?.previous = node.previous
        } else {
            self.members[node.network]?[node.stage].last = node.previous
        }
    }
}
