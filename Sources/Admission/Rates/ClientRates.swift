import DequeModule

/// A rate for each client's network, in bounded memory. Pure; times are monotonic nanoseconds.
///
/// A network is forgotten when its bucket is full again, and not before: no network gets a fresh burst by sending from many
/// networks. While there are as many networks as are remembered, all new ones together have one bucket.
public struct ClientRates: Sendable {
    private var perSecond: Int
    private var burst: Int
    private let capacity: Int
    private var buckets: [ClientNetwork: TokenBucket] = [:]
    /// The networks that are remembered, to be looked at in turn.
    private var turn: Deque<ClientNetwork> = []
    private var others: TokenBucket

    /// What the networks have together that find no room, as a multiple of what one has.
    private static let othersShare = 16
    /// How many are looked at when one is added: more than come in, so that those which may be forgotten are found.
    private static let looks = 4

    /// - Parameters:
    ///   - perSecond: For one network.
    ///   - burst: The same at once.
    ///   - capacity: Networks that are remembered at once.
    public init(perSecond: Int, burst: Int, capacity: Int = 65_536, now: UInt64) {
        self.perSecond = perSecond
        self.burst = burst
        self.capacity = capacity
        self.others = TokenBucket(
            perSecond: perSecond * Self.othersShare, burst: burst * Self.othersShare, now: now)
    }

    /// Another rate: networks begin with a full burst of it.
    public mutating func setRate(perSecond: Int, burst: Int, now: UInt64) {
        guard perSecond != self.perSecond || burst != self.burst else { return }
        self = ClientRates(perSecond: perSecond, burst: burst, capacity: self.capacity, now: now)
    }

    /// Networks that are remembered.
    public var count: Int { self.buckets.count }

    /// Takes a token of the network; false if there is none.
    public mutating func take(_ network: ClientNetwork, now: UInt64) -> Bool {
        if let index = self.buckets.index(forKey: network) { return self.buckets.values[index].take(now: now) }
        self.forget(now)
        guard self.buckets.count < self.capacity else { return self.others.take(now: now) }
        var bucket = TokenBucket(perSecond: self.perSecond, burst: self.burst, now: now)
        let taken = bucket.take(now: now)
        self.buckets[network] = bucket
        self.turn.append(network)
        return taken
    }

    private mutating func forget(_ now: UInt64) {
        for _ in 0..<Self.looks {
            guard let network = self.turn.popFirst() else { return }
            if self.buckets[network]?.isFull(now: now) == true {
                self.buckets[network] = nil
            } else {
                self.turn.append(network)
            }
        }
    }
}
