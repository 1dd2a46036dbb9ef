import Admission

/// How many streams that no key holder has taken yet there may be at once, in all, for the clients of one site, and for those of one
/// network; those for which there is no room wait, and the sites take turns, and in a site the networks. Pure.
///
/// Without a bound, hellos that come together would spend the key holder's time together. And a key holder that does not answer holds no more
/// than its sites' shares.
///
/// Our bug: an end without a beginning; ignored.
struct DialBound {
    /// A client's stream, under way or waiting.
    struct Dial: Equatable {
        var id: UInt64
        var network: ClientNetwork
        /// The name of its site.
        var site: String
    }

    enum Entry: Equatable {
        case begin
        case wait
        /// It waits in the place of this one.
        case waitInPlaceOf(UInt64)
        case refused
    }

    private let total: Int
    private let perSite: Int
    private let perNetwork: Int
    private let waiting: Int
    private(set) var underWay = 0
    private var sites: [String: Int] = [:]
    private var networks: [ClientNetwork: Int] = [:]
    private var lines: [String: FairLine<UInt64>] = [:]
    /// Sites in turn; each stands here once while anything waits for it.
    private var turn: [String] = []

    /// - Parameters:
    ///   - perSite: Of one site at once.
    ///   - waiting: Those that wait for one site.
    init(total: Int, perSite: Int, perNetwork: Int, waiting: Int = 256) {
        self.total = total
        self.perSite = perSite
        self.perNetwork = perNetwork
        self.waiting = waiting
    }

    mutating func enter(_ dial: Dial) -> Entry {
        if self.underWay < self.total, self.hasRoom(for: dial.site), self.hasRoom(for: dial.network) {
            self.count(dial.network, dial.site)
            return .begin
        }
        if self.lines[dial.site] == nil { self.turn.append(dial.site) }
        // Each of them keeps its own time.
        let empty = FairLine<UInt64>(capacity: self.waiting, patience: .max / 2)
        switch self.lines[dial.site, default: empty].join(dial.id, from: dial.network, now: 0) {
        case .waiting: return .wait
        case .inPlaceOf(let other): return .waitInPlaceOf(other)
        case .full: return .refused
        }
    }

    /// One that waits is gone.
    mutating func leave(_ dial: Dial) {
        self.lines[dial.site]?.leave(dial.id)
        self.forget(dial.site)
    }

    /// A connection is there, or failed.
    ///
    /// - Returns: who may begin in its place.
    mutating func end(_ dial: Dial) -> UInt64? {
        guard let count = self.networks[dial.network], let ofSite = self.sites[dial.site] else { return nil }
        self.underWay -= 1
        self.networks[dial.network] = count > 1 ? count - 1 : nil
        self.sites[dial.site] = ofSite > 1 ? ofSite - 1 : nil
        guard self.underWay < self.total else { return nil }
        for index in self.turn.indices {
            let site = self.turn[index]
            guard self.hasRoom(for: site), let id = self.next(of: site) else { continue }
            self.turn.remove(at: index)
            self.turn.append(site)
            self.forget(site)
            return id
        }
        return nil
    }

    private mutating func next(of site: String) -> UInt64? {
        var next: ClientNetwork?
        let networks = self.networks
        let perNetwork = self.perNetwork
        let id = self.lines[site]?.next { candidate in
            guard networks[candidate] ?? 0 < perNetwork else { return false }
            next = candidate
            return true
        }
        if let next { self.count(next, site) }
        return id
    }

    private func hasRoom(for site: String) -> Bool { self.sites[site] ?? 0 < self.perSite }
    private func hasRoom(for network: ClientNetwork) -> Bool { self.networks[network] ?? 0 < self.perNetwork }

    private mutating func count(_ network: ClientNetwork, _ site: String) {
        self.underWay += 1
        self.networks[network, default: 0] += 1
        self.sites[site, default: 0] += 1
    }

    /// A site for which nothing waits any more.
    private mutating func forget(_ site: String) {
        guard self.lines[site]?.count == 0 else { return }
        self.lines[site] = nil
        self.turn.removeAll { $0 == site }
    }
}
