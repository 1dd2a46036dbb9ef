import Admission

/// How many connections to key holders may be under way at once, in all and for the clients of one network; those for
/// which there is no room wait, and the networks take turns. Pure.
///
/// Each costs the key holder a TLS handshake, before anything is known of the client but its hello: without a bound, whoever
/// sends hellos spends the key holder's time.
///
/// Our bug: an end without a beginning; ignored.
struct DialBound {
    enum Entry: Equatable {
        case begin
        case wait
        /// It waits in the place of this one.
        case waitInPlaceOf(UInt64)
        case refused
    }

    private let total: Int
    private let perNetwork: Int
    private(set) var underWay = 0
    private var networks: [ClientNetwork: Int] = [:]
    private var line: FairLine<UInt64>

    init(total: Int, perNetwork: Int, waiting: Int = 256) {
        self.total = total
        self.perNetwork = perNetwork
        // Each of them keeps its own time.
        self.line = FairLine(capacity: waiting, patience: .max / 2)
    }

    mutating func enter(_ id: UInt64, from network: ClientNetwork) -> Entry {
        if self.hasRoom(for: network) {
            self.count(network)
            return .begin
        }
        switch self.line.join(id, from: network, now: 0) {
        case .waiting: return .wait
        case .inPlaceOf(let other): return .waitInPlaceOf(other)
        case .full: return .refused
        }
    }

    /// One that waits is gone.
    mutating func leave(_ id: UInt64) { self.line.leave(id) }

    /// A connection is there, or failed.
    ///
    /// - Returns: who may begin in its place.
    mutating func end(_ network: ClientNetwork) -> UInt64? {
        guard let count = self.networks[network] else { return nil }
        self.underWay -= 1
        self.networks[network] = count > 1 ? count - 1 : nil
        guard self.underWay < self.total else { return nil }
        var next: ClientNetwork?
        let networks = self.networks
        let perNetwork = self.perNetwork
        let id = self.line.next { candidate in
            guard networks[candidate] ?? 0 < perNetwork else { return false }
            next = candidate
            return true
        }
        if let next { self.count(next) }
        return id
    }

    private func hasRoom(for network: ClientNetwork) -> Bool {
        self.underWay < self.total && self.networks[network] ?? 0 < self.perNetwork
    }

    private mutating func count(_ network: ClientNetwork) {
        self.underWay += 1
        self.networks[network, default: 0] += 1
    }
}
