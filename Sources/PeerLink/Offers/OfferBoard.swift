import Admission

/// Connections that key holders have opened to this edge, and the places where links are wanted: which goes where.
///
/// Pure: times are arguments, in nanoseconds of a monotonic clock. A connection is *unnamed* until it has said whose it is,
/// *parked* while no place wants it, and gone from here when a place has it. Nothing of it is proved before that, so that
/// connections never keep others out: where there are too many, the oldest one of the crowd gives way. That is of networks from which
/// connections came to nothing before, or else of all, the ``ClientNetwork/block`` with most of them. Those from where the key holder
/// was last give way to each other alone.
///
/// Inputs that are our bug: a place that is not registered (ignored). The peer's violations: a name that no place is for.
/// Dropped silently: whatever is said of a connection that is gone.
struct OfferBoard {
    typealias Offer = UInt64
    typealias Place = UInt64

    struct Limits {
        /// Connections that have not said whose they are.
        var unnamed = 256
        var unnamedPerNetwork = 16
        /// Connections that wait for a place, for each name.
        var parked = 32
        var parkedPerNetwork = 8
        /// Networks whose connections came to nothing, which are remembered, and as many of their blocks. Beyond them, those that are
        /// remembered longest are forgotten.
        var failures = 4096
        /// For so long: longer than it takes to try a connection of each of them, or those that were tried first would be forgotten, and
        /// tried again, before the key holder's own turn comes. Nanoseconds.
        var memory: Int64 = 10_800_000_000_000
    }

    enum Naming: Equatable {
        case give(Place)
        case parked(evicting: Offer?)
        /// No place is for that name.
        case refused
    }

    private struct Entry {
        var network: ClientNetwork
        /// nil: it has not said.
        var name: String?
    }

    private let limits: Limits
    /// Numbers rise with each connection, so that the lowest is the oldest.
    private var offers: [Offer: Entry] = [:]
    private var names: [Place: String] = [:]
    /// Places without a link, the longest first.
    private var lacking: [Place] = []
    /// By when it is forgotten.
    private var failures: [ClientNetwork: Int64] = [:]
    /// The same of their ``ClientNetwork/block``s. The first network of a block is equal to the block.
    private var failedBlocks: [ClientNetwork: Int64] = [:]
    /// Where the last connection came from that proved to be of that name.
    private var proven: [String: ClientNetwork] = [:]

    init(limits: Limits = Limits()) { self.limits = limits }

    // MARK: Connections

    /// A connection was accepted.
    ///
    /// - Returns: one that is to be closed for it.
    mutating func arrived(_ offer: Offer, from network: ClientNetwork, now: Int64) -> Offer? {
        let evicted = self.makeRoom(
            for: network, among: nil, total: self.limits.unnamed, perNetwork: self.limits.unnamedPerNetwork, now: now)
        self.offers[offer] = Entry(network: network)
        return evicted
    }

    /// It says whose it is.
    mutating func named(_ offer: Offer, as name: String, now: Int64) -> Naming {
        guard let network = self.offers[offer]?.network, self.names.values.contains(name) else {
            self.offers[offer] = nil
            return .refused
        }
        if let position = self.lacking.firstIndex(where: { self.names[$0] == name }) {
            self.offers[offer] = nil
            return .give(self.lacking.remove(at: position))
        }
        let evicted = self.makeRoom(
            for: network, among: name, total: self.limits.parked, perNetwork: self.limits.parkedPerNetwork, now: now)
        self.offers[offer]?.name = name
        return .parked(evicting: evicted)
    }

    /// The connection has ended.
    mutating func closed(_ offer: Offer) { self.offers[offer] = nil }

    /// All that are here, which are forgotten.
    mutating func takeAll() -> [Offer] {
        defer { self.offers.removeAll() }
        return Array(self.offers.keys)
    }

    private mutating func makeRoom(
        for network: ClientNetwork, among name: String?, total: Int, perNetwork: Int, now: Int64
    ) -> Offer? {
        let peers = self.offers.filter { $0.value.name == name }
        let own = peers.filter { $0.value.network == network }
        let oldest: Offer?
        if own.count >= perNetwork {
            oldest = own.keys.min()
        } else if peers.count >= total {
            oldest = self.oldest(ofCrowdIn: peers, with: network, among: name, now) ?? peers.keys.min()
        } else {
            oldest = nil
        }
        if let oldest { self.offers[oldest] = nil }
        return oldest
    }

    /// - Parameter network: where another one comes from, which counts.
    private func oldest(
        ofCrowdIn peers: [Offer: Entry], with network: ClientNetwork, among name: String?, _ now: Int64
    ) -> Offer? {
        let known: [ClientNetwork] = name.map { [self.proven[$0]].compactMap(\.self) } ?? Array(self.proven.values)
        let others = peers.filter { !known.contains($0.value.network) }
        let strangers = others.filter { self.standing($0.value.network, now) < .untried }
        let blocks = Dictionary(grouping: strangers.isEmpty ? others : strangers) { $0.value.network.block }
        let crowds = blocks.compactMap { block, offers in
            offers.map(\.key).min().map { (count: offers.count + (block == network.block ? 1 : 0), oldest: $0) }
        }
        return crowds.max { ($0.count, $1.oldest) < ($1.count, $0.oldest) }?.oldest
    }

    /// What is known of a network, the worst first.
    private enum Standing: Int, Comparable {
        /// A connection from there came to nothing.
        case failed
        /// One from its block did.
        case failedNearby
        case untried
        /// The key holder was there last.
        case proven

        static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
    }

    /// Without what is known of the key holder.
    private func standing(_ network: ClientNetwork, _ now: Int64) -> Standing {
        if let end = self.failures[network], end > now { return .failed }
        if let end = self.failedBlocks[network.block], end > now { return .failedNearby }
        return .untried
    }

    // MARK: Places

    mutating func register(_ place: Place, for name: String) { self.names[place] = name }

    /// - Returns: connections of a name that no place is for any more, which are to be closed.
    mutating func withdraw(_ place: Place) -> [Offer] {
        self.lacking.removeAll { $0 == place }
        guard let name = self.names.removeValue(forKey: place), !self.names.values.contains(name) else { return [] }
        self.proven[name] = nil
        let orphans = self.offers.filter { $0.value.name == name }.keys
        for offer in orphans { self.offers[offer] = nil }
        return Array(orphans)
    }

    /// The place has no link.
    ///
    /// - Returns: a connection for it, which is gone from here; nil: it is given the next one that comes.
    mutating func lacks(_ place: Place, now: Int64) -> Offer? {
        guard let name = self.names[place] else { return nil }
        let parked = self.offers.filter { $0.value.name == name }
        let ranks = parked.map { (offer: $0, standing: self.standing($1, of: name, now)) }
        guard let best = ranks.max(by: Self.isLater) else {
            if !self.lacking.contains(place) { self.lacking.append(place) }
            return nil
        }
        self.offers[best.offer] = nil
        return best.offer
    }

    private func standing(_ entry: Entry, of name: String, _ now: Int64) -> Standing {
        self.proven[name] == entry.network ? .proven : self.standing(entry.network, now)
    }

    /// Connections from where the key holder was last come first, those from where none proved to be it come last. Of the key holder's
    /// own, the newest is taken, since what is old may have lost its way through a firewall; of others the oldest, so that none that
    /// comes passes one that waits.
    private static func isLater(
        _ one: (offer: Offer, standing: Standing), than other: (offer: Offer, standing: Standing)
    ) -> Bool {
        guard one.standing == other.standing else { return one.standing < other.standing }
        return one.standing == .proven ? one.offer < other.offer : one.offer > other.offer
    }

    /// A connection from there was not the key holder's that it said.
    mutating func failed(_ network: ClientNetwork, now: Int64) {
        self.remember(network, in: \.failures, now)
        self.remember(network.block, in: \.failedBlocks, now)
    }

    private mutating func remember(
        _ network: ClientNetwork, in failures: WritableKeyPath<OfferBoard, [ClientNetwork: Int64]>, _ now: Int64
    ) {
        if self[keyPath: failures][network] == nil, self[keyPath: failures].count >= self.limits.failures {
            let oldest = self[keyPath: failures].min { $0.value < $1.value }
            if let oldest { self[keyPath: failures][oldest.key] = nil }
        }
        self[keyPath: failures][network] = now + self.limits.memory
    }

    /// A connection from there was.
    mutating func proved(_ network: ClientNetwork, for place: Place) {
        guard let name = self.names[place] else { return }
        self.proven[name] = network
        self.failures[network] = nil
        self.failedBlocks[network.block] = nil
    }

    // MARK: Figures

    func parked(for name: String) -> Int { self.offers.values.count { $0.name == name } }
}
