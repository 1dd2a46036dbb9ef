/// What the addresses of one key holder have said of this edge's leases, and what follows for each domain.
///
/// A domain is served while at least one address leases it: the address has given this edge a lease that has not run out, and
/// has answered for the domain, no longer ago than a lease's time. A "no" from one address means that this one is not asked for
/// the domain any more; the domain is served until the last address has said no, or the last lease has run out.
///
/// Pure: times are arguments, in nanoseconds of a monotonic clock. Addresses and domains are numbers from 0; one out of
/// range is our bug, and traps. Nothing that a key holder says is out of place: a grant from an address without a lease has no effect
/// until that lease comes.
struct LeaseLedger<Value: Equatable> {
    enum Verdict: Equatable {
        /// No key holder has said anything of it yet.
        case pending
        /// By these addresses, which agree on the value.
        case served(Value, by: Set<Int>)
        case ended(LeaseEnd)
    }

    private enum Standing {
        case unheard
        case leased(until: Int64)
        case over(LeaseEnd)
    }

    private enum Finding {
        case none
        case granted(Value, until: Int64)
        case refused(LeaseEnd)
    }

    private struct Address {
        var standing = Standing.unheard
        var isConnected = false
        /// The time of its last lease.
        var lease: Int64 = 0
        var findings: [Finding]

        var isLeased: Bool { if case .leased = self.standing { true } else { false } }
    }

    private var addresses: [Address]
    private let domains: Range<Int>

    init(addresses: Int, domains: Int) {
        let findings = [Finding](repeating: .none, count: domains)
        self.addresses = Array(repeating: Address(findings: findings), count: addresses)
        self.domains = 0..<domains
    }

    // MARK: Events

    /// An address has given this edge a lease, or renewed it.
    mutating func renewed(_ address: Int, for lease: Int64, now: Int64) {
        self.addresses[address].standing = .leased(until: now + lease)
        self.addresses[address].lease = lease
        self.addresses[address].isConnected = true
    }

    /// An address has said that there is no lease.
    mutating func ended(_ address: Int, _ end: LeaseEnd) {
        self.addresses[address].standing = .over(end)
        self.addresses[address].isConnected = false
        for domain in self.domains { self.addresses[address].findings[domain] = .none }
    }

    /// The connection has ended. What the address has said holds until its time is over.
    mutating func disconnected(_ address: Int) { self.addresses[address].isConnected = false }

    mutating func granted(_ domain: Int, by address: Int, _ value: Value, now: Int64) {
        self.addresses[address].findings[domain] = .granted(value, until: now + self.addresses[address].lease)
    }

    mutating func refused(_ domain: Int, by address: Int, _ end: LeaseEnd) {
        self.addresses[address].findings[domain] = .refused(end)
    }

    /// Ends what has run out by now.
    ///
    /// - Returns: whether anything has.
    mutating func expire(now: Int64, _ end: LeaseEnd) -> Bool {
        var any = false
        for address in self.addresses.indices {
            if case .leased(let until) = self.addresses[address].standing, until <= now {
                self.addresses[address].standing = .over(end)
                any = true
            }
            for domain in self.domains {
                guard case .granted(_, let until) = self.addresses[address].findings[domain], until <= now else {
                    continue
                }
                self.addresses[address].findings[domain] = .refused(end)
                any = true
            }
        }
        return any
    }

    // MARK: What follows

    /// Addresses that can be asked.
    var connected: [Int] { self.addresses.indices.filter { self.addresses[$0].isConnected } }

    /// The shortest time of a lease that stands; nil: none stands.
    var shortestLease: Int64? { self.addresses.filter(\.isLeased).map(\.lease).min() }

    /// For this edge as a whole: nil while any lease stands, or none was heard of yet.
    var end: LeaseEnd? {
        guard !self.addresses.contains(where: \.isLeased) else { return nil }
        return self.joined { address in
            if case .over(let end) = address.standing { end } else { nil }
        }
    }

    /// Of values that differ, the one shown so far goes on being shown while a connected address has it: addresses get a new
    /// certificate one after the other.
    func verdict(_ domain: Int, showing shown: Value?) -> Verdict {
        var values: [(address: Int, value: Value)] = []
        for (index, address) in self.addresses.enumerated() where address.isLeased {
            if case .granted(let value, _) = address.findings[domain] { values.append((index, value)) }
        }
        let connected = values.filter { self.addresses[$0.address].isConnected }
        let askable = connected.isEmpty ? values : connected
        guard let value = askable.first(where: { $0.value == shown })?.value ?? askable.first?.value else {
            return self.denial(domain)
        }
        return .served(value, by: Set(values.filter { $0.value == value }.map(\.address)))
    }

    /// What each address has said of a domain that it leases now.
    func values(of domain: Int) -> [Int: Value] {
        var values: [Int: Value] = [:]
        for (index, address) in self.addresses.enumerated() where address.isLeased {
            if case .granted(let value, _) = address.findings[domain] { values[index] = value }
        }
        return values
    }

    /// Whether an address has yet to answer for a domain that others have refused: it may have granted it all the time. False where one
    /// has no lease for this edge any more.
    func isUndecided(_ domain: Int) -> Bool {
        var isOpen = false
        for address in self.addresses {
            if case .over = address.standing { return false }
            if case .refused = address.findings[domain] { continue }
            isOpen = true
        }
        return isOpen
    }

    private func denial(_ domain: Int) -> Verdict {
        let isAsked = self.addresses.contains { address in
            guard address.isLeased, address.isConnected, case .none = address.findings[domain] else { return false }
            return true
        }
        if isAsked { return .pending }
        let end = self.joined { address in
            if case .over(let end) = address.standing { return end }
            if case .refused(let end) = address.findings[domain] { return end }
            return nil
        }
        return end.map { .ended($0) } ?? .pending
    }

    /// What addresses say, each thing once.
    private func joined(_ end: (Address) -> LeaseEnd?) -> LeaseEnd? {
        let ends = self.addresses.compactMap(end)
        guard var first = ends.first else { return nil }
        var texts: [String] = []
        for end in ends where !texts.contains(end.description) { texts.append(end.description) }
        first.description = texts.joined(separator: "; ")
        return first
    }
}
