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
        /// Networks whose connections came to nothing, which are remembered.
        var failures = 1024
        /// For so long: longer than it takes to try a connection of each of them, or those that were tried first would be forgotten, and
        /// tried again, before the key holder's own turn comes. Nanoseconds.
        var memory: Int64 = 1_800_000_000_000
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
        let strangers = others.filter { self.hasFailed($0.value.network, now) }
        let blocks = Dictionary(grouping: strangers.isEmpty ? others : strangers) { $0.value.network.block }
        let crowds = blocks.compactMap { block, offers in
            offers.map(\.key).min().map { (count: offers.count + (block == network.block ? 1 : 0), oldest: $0) }
        }
        return crowds.max { ($0.count, $1.oldest) < ($1.count, $0.oldest) }?.oldest
    }

    private func hasFailed(_ network: ClientNetwork, _ now: Int64) -> Bool {
        (self.failures[network] ?? .min) > now
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
        let best = parked.max { one, other in
            self.rank(one.value, of: name, one.key, now) < self.rank(other.value, of: name, other.key, now)
        }
        guard let best else {
            if !self.lacking.contains(place) { self.lacking.append(place) }
            return nil
        }
        self.offers[best.key] = nil
        return best.key
    }

    /// Connections from where the key holder was last come first, those from where none proved to be it come last; else the
    /// newest, since what is old may have lost its way through a firewall.
    private func rank(_ entry: Entry, of name: String, _ offer: Offer, _ now: Int64) -> (Int, Offer) {
        if self.proven[name] == entry.network { return (2, offer) }
        return (self.hasFailed(entry.network, now) ? 0 : 1, offer)
    }

    /// A connection from there was not the key holder's that it said.
    mutating func failed(_ network: ClientNetwork, now: Int64) {
        if self.failures.count >= self.limits.failures { self.failures = self.failures.filter { $0.value > now } }
        guard self.failures.count < self.limits.failures else { return }
        self.failures[network] = now + self.limits.memory
    }

    /// A connection from there was.
    mutating func proved(_ network: ClientNetwork, for place: Place) {
        guard let name = self.names[place] else { return }
        self.proven[name] = network
        self.failures[network] = nil
    }

    // MARK: Figures

    func parked(for name: String) -> Int { self.offers.values.count { $0.name == name } }
}
