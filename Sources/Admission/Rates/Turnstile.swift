/// Lets through what a rate allows, and the rest in fair turns as soon as it does. Pure; times are monotonic nanoseconds.
///
/// Without a rate everything passes. What passes has a token; see ``FairLine`` for who waits, and how long.
public struct Turnstile<ID: Hashable & Sendable>: Sendable {
    public enum Entry: Hashable, Sendable {
        case pass
        case wait
        /// It waits in the place of another, which is turned away.
        case waitInPlaceOf(ID)
        case turnedAway
    }

    private var line: FairLine<ID>
    private var rate: Int?
    private var bucket: TokenBucket

    public init(capacity: Int, patience: UInt64) {
        self.line = FairLine(capacity: capacity, patience: patience)
        self.bucket = TokenBucket(perSecond: 0, burst: 0, now: 0)
    }

    public var waiting: Int { self.line.count }

    /// The rate is known, or has changed, or is not known any more. The burst is half of a second's: those who keep the
    /// count at the other end allow more, so that what passes here passes there.
    public mutating func setRate(_ rate: Int?, now: UInt64) {
        guard rate != self.rate else { return }
        self.rate = rate
        guard let rate else { return }
        self.bucket = TokenBucket(perSecond: rate, burst: max(1, rate / 2), now: now)
    }

    /// The other end says that the rate is used up.
    public mutating func usedUp(now: UInt64) {
        if self.rate != nil { self.bucket.drain(now: now) }
    }

    public mutating func enter(_ id: ID, from network: ClientNetwork, now: UInt64) -> Entry {
        guard self.rate != nil else { return .pass }
        if self.line.count == 0, self.bucket.take(now: now) { return .pass }
        switch self.line.join(id, from: network, now: now) {
        case .waiting: return .wait
        case .inPlaceOf(let other): return .waitInPlaceOf(other)
        case .full: return .turnedAway
        }
    }

    /// One that waits is gone.
    public mutating func leave(_ id: ID) { self.line.leave(id) }

    /// Who passes now, and who has waited too long.
    public mutating func advance(now: UInt64) -> (passing: [ID], expired: [ID]) {
        let expired = self.line.expired(now: now)
        var passing: [ID] = []
        while self.line.count > 0, self.rate == nil || self.bucket.take(now: now) {
            if let id = self.line.next() { passing.append(id) }
        }
        return (passing, expired)
    }

    /// When ``advance(now:)`` is to be called; nil while none waits.
    public var wake: UInt64? {
        guard self.line.count > 0, let deadline = self.line.deadline else { return nil }
        return min(deadline, self.bucket.nextToken)
    }
}
