public import NIOCore

/// What one request to the origin on the cache's behalf is doing: it fetches a response into the store, or has a stored one
/// confirmed. It belongs to the request that led to it, its leader, yet not only to it: others may read what comes, and a leader
/// that leaves doesn't end it, within bounds. Without a leader it runs behind a client's back (`stale-while-revalidate`).
///
/// Our bug: a head or flow of the store's that the step does not expect; it changes nothing. The peer's violations arrive as
/// ``failed()``, or as an end before the head. Silently dropped: what arrives after the end.
public struct FetchTurn: Sendable {
    public enum Phase: Hashable, Sendable {
        case fetching
        /// The body goes into the store.
        case filling
        /// The response has done its work; only its end is awaited, so that the connection can be used again.
        case draining
        case over
    }

    public private(set) var phase = Phase.fetching
    /// The store asked the origin to wait for those who read.
    public private(set) var isPaused = false
    /// No client waits for it. One of the site's places for such fetches is taken.
    public private(set) var isUnattended: Bool
    /// A leader is still there.
    public private(set) var hasLeader: Bool
    /// When to stop, whatever still comes, if there is no reader.
    public private(set) var giveUpAt: NIODeadline
    /// The leader has left, and no other reader was there.
    private var isAbandoned = false

    /// How long a fetch may go on for the store alone.
    public static let unattendedTime = TimeAmount.seconds(60)
    /// Bytes that a fetch may still have to bring when its last reader leaves: more are fetched on only where as many have come already.
    /// A client that wants one byte of a large body would have the origin send all of it otherwise.
    public static let worthwhileRest: Int64 = 1 << 20
    /// How long readers that hold up others are waited for, and the end of a response that is not needed any more.
    public static let patience = TimeAmount.seconds(5)

    /// For a request that waits for the response.
    public static func led() -> FetchTurn {
        FetchTurn(isUnattended: false, giveUpAt: .distantFuture)
    }

    /// Behind the clients' backs.
    public static func unattended(now: NIODeadline) -> FetchTurn {
        FetchTurn(isUnattended: true, giveUpAt: now + Self.unattendedTime)
    }

    private init(isUnattended: Bool, giveUpAt: NIODeadline) {
        self.isUnattended = isUnattended
        self.hasLeader = !isUnattended
        self.giveUpAt = giveUpAt
    }

    public var isOver: Bool { self.phase == .over }

    // MARK: The head

    /// What becomes of the origin's answer.
    public enum Answered: Hashable, Sendable {
        /// A stored response is worth more than this error, and the response is drained.
        case keepsStale
        /// The body goes into the store.
        case fills
        /// It is for the leader alone.
        case passes(StoreRefusal)
        /// It is for the leader alone, who has left.
        case drops(StoreRefusal)
        /// It is too large to be fetched for the store alone, and no client is there.
        case givesUp
        case nothing
    }

    /// - Parameters:
    ///   - keepsStale: the leader has been served a stale response in its place, or, without a leader, a stored one may still be
    ///     served.
    ///   - refusal: why it is not stored; `nil` if it is.
    ///   - isWorthwhile: whether it would be fetched for the store alone; asked only if the leader has left and there is no other
    ///     reader.
    public mutating func answered(
        keepsStale: Bool, refusal: StoreRefusal?, isWorthwhile: () -> Bool, now: NIODeadline
    ) -> Answered {
        guard case .fetching = self.phase else { return .nothing }
        if keepsStale {
            self.drains(now: now)
            return .keepsStale
        }
        guard let refusal else {
            if self.isAbandoned, !isWorthwhile() {
                self.phase = .over
                return .givesUp
            }
            self.phase = .filling
            return .fills
        }
        self.phase = .over
        return self.hasLeader ? .passes(refusal) : .drops(refusal)
    }

    /// The origin confirmed what it was asked about, and there is no body to come.
    public mutating func confirmed(now: NIODeadline) -> Bool {
        guard case .fetching = self.phase else { return false }
        self.drains(now: now)
        return true
    }

    private mutating func drains(now: NIODeadline) {
        self.phase = .draining
        self.hasLeader = false
        self.giveUpAt = now + Self.patience
    }

    // MARK: The body

    /// Whether the store wants more.
    public enum Flow: Hashable, Sendable {
        case proceed, pause, unwanted
    }

    public enum Flowed: Hashable, Sendable {
        /// The origin is to wait.
        case pause
        /// The origin may go on.
        case resume
        case giveUp
        case nothing
    }

    /// The store has taken bytes, or has news about how much it takes.
    public mutating func flow(_ flow: Flow) -> Flowed {
        guard case .filling = self.phase else { return .nothing }
        switch (flow, self.isPaused) {
        case (.proceed, false), (.pause, true): return .nothing
        case (.proceed, true):
            self.isPaused = false
            return .resume
        case (.pause, false):
            self.isPaused = true
            return .pause
        case (.unwanted, _):
            self.phase = .over
            return .giveUp
        }
    }

    // MARK: Ends

    public enum Ended: Hashable, Sendable {
        /// The body is whole, and the store decides what becomes of it.
        case finish
        /// The end came before the head.
        case premature
        /// The connection is free again, and nothing else follows.
        case done
        case nothing
    }

    public mutating func ended() -> Ended {
        defer { if self.phase != .fetching { self.phase = .over } }
        switch self.phase {
        case .fetching: return .premature
        case .filling: return .finish
        case .draining: return .done
        case .over: return .nothing
        }
    }

    public enum Failed: Hashable, Sendable {
        /// Before the head: the leader may still be answered otherwise.
        case unanswered
        /// In the body: what has been read is not whole.
        case truncated
        /// It was not needed any more.
        case done
        case nothing
    }

    /// The response will not become complete.
    public mutating func failed() -> Failed {
        defer { self.phase = .over }
        switch self.phase {
        case .fetching: return .unanswered
        case .filling: return .truncated
        case .draining: return .done
        case .over: return .nothing
        }
    }

    /// The client that this was begun for has gone, or has all it wants.
    ///
    /// - Parameters:
    ///   - readers: other clients that read the body or wait for it. It goes on for them, and needs no place as long as they are there.
    ///   - takesPlace: takes one of the site's places for fetches without a client, if there is one.
    ///   - isWanted: whether the store wants the body, and what is to come of it is not too much for that; asked only in the body.
    /// - Returns: whether to give up.
    public mutating func leaderLeft(
        readers: Int, takesPlace: () -> Bool, isWanted: () -> Bool, now: NIODeadline
    ) -> Bool {
        self.hasLeader = false
        guard !self.isUnattended else { return false }
        switch self.phase {
        case .draining, .over: return false
        case .fetching, .filling: break
        }
        if readers > 0 {
            self.giveUpAt = now + Self.patience
            return false
        }
        return !self.goesOnAlone(takesPlace, isWanted, now)
    }

    /// The last reader has left.
    private mutating func goesOnAlone(_ takesPlace: () -> Bool, _ isWanted: () -> Bool, _ now: NIODeadline) -> Bool {
        guard self.phase == .fetching || isWanted(), takesPlace() else {
            self.phase = .over
            return false
        }
        self.isAbandoned = true
        self.isUnattended = true
        self.giveUpAt = now + Self.unattendedTime
        return true
    }

    /// The place for fetches without a client is given back; once.
    public mutating func givesPlaceBack() -> Bool {
        defer { self.isUnattended = false }
        return self.isUnattended
    }

    // MARK: Time

    /// Until when it waits, as far as this machine decides; the origin's own times come on top.
    public func deadline(pausedAt now: NIODeadline) -> NIODeadline {
        self.isPaused && self.phase == .filling ? now + Self.patience : self.giveUpAt
    }

    public enum Due: Hashable, Sendable {
        /// Readers that hold up others get no more.
        case cutOffSlowest
        /// No client and no store wants it.
        case giveUp
        /// The connection is not worth waiting for.
        case stop
        /// It goes on, for those who read.
        case goOn
        /// The origin's times are to be looked at.
        case lookAtOrigin
    }

    /// The deadline has come.
    ///
    /// - Parameters:
    ///   - readers: who reads, the disk's writer included if `isUnattended`.
    ///   - takesPlace, isWanted: as for `leaderLeft`.
    public mutating func timedOut(
        readers: Int, takesPlace: () -> Bool, isWanted: () -> Bool, now: NIODeadline
    ) -> Due {
        if self.isPaused, case .filling = self.phase { return .cutOffSlowest }
        guard now >= self.giveUpAt else { return .lookAtOrigin }
        switch self.phase {
        case .draining:
            self.phase = .over
            return .stop
        case .fetching, .filling:
            if readers > 0 {
                // Those without a place are looked at soon again: it takes one when its last reader has left.
                self.giveUpAt = now + (self.isUnattended ? Self.unattendedTime : Self.patience)
                return .goOn
            }
            if !self.isUnattended, self.goesOnAlone(takesPlace, isWanted, now) { return .goOn }
            self.phase = .over
            return .giveUp
        case .over:
            return .goOn
        }
    }
}
