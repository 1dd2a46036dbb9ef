/// What one request is doing, as far as the cache is concerned: which of the named steps it is at, and what each event
/// leads to. Knows no store, no connection and no clock; stored responses are indices into what was looked up, and time is an
/// argument in milliseconds since 1970 UTC.
///
/// The store's response that may stand in if the origin fails (`fallback`) is handed in with each event that may need it, as the
/// purges that came meanwhile have left it.
///
/// Our bug: an event that the step does not expect, such as an offer of a flight while a body is sent. It changes nothing, and
/// the returned step says `nothing`. The peer's violations don't arrive here: the fetch has judged them (``FetchTurn``). Silently
/// dropped: whatever comes after ``cancel()``, since the disk, other requests and the origin go on without knowing of it.
public struct CacheTurn: Sendable {
    public enum Phase: Hashable, Sendable {
        /// Nothing has been found yet, or a flight is being looked for.
        case idle
        /// The disk is asked for more variants.
        case loading
        /// The head of another request's response is to come, or the one of its own.
        case waiting(Awaited)
        /// It waited for another request in vain, and goes to the origin when it is its turn.
        case inLine
        /// The answer goes out, from the store or as it comes in.
        case sending
        /// The proxy exchange goes on with the origin's response alone.
        case direct
        case over
    }

    public enum Awaited: Hashable, Sendable {
        case another, own
    }

    public let request: CacheRequest
    public private(set) var phase = Phase.idle
    /// Why the request goes to the origin.
    public private(set) var reason = ForwardReason.uriMiss
    public private(set) var outcome = CacheOutcome(.bypass, .none)
    /// Why the response that went by was not stored; `nil` if nothing was refused.
    public private(set) var refusal: StoreRefusal?
    /// The client's conditions and range were kept from the origin, so that they are judged on what it answered.
    public private(set) var judgesAnswer = false
    /// Responses under this key have lately been for one client each.
    private var isKnownUnshared = false
    /// The look-up said that the fallback can be validated.
    private var canValidate = false
    /// How often a request that this one waited for has failed.
    private var failures = 0
    /// How often it has gone on for itself, or for others, after it had waited for another.
    private var departures = 0

    /// Beyond that, a request that finds nothing for itself in what it waited for asks the origin alone.
    public static let maximumDepartures = 2

    public init(_ request: CacheRequest) {
        self.request = request
    }

    /// Whether it waits for something that has a time limit of its own.
    public var isWaiting: Bool {
        switch self.phase {
        case .loading, .waiting, .inLine, .sending: true
        case .idle, .direct, .over: false
        }
    }

    // MARK: The store

    /// How the request goes to the origin on the cache's behalf.
    public struct FetchPlan: Hashable, Sendable {
        /// Others may wait for the response.
        public var isShared: Bool
        /// The origin is asked about the fallback.
        public var validates: Bool
        /// Conditions and range go to the origin as the client sent them: what it answers is hardly for the store.
        public var asksAsClient: Bool

        public init(isShared: Bool, validates: Bool, asksAsClient: Bool) {
            self.isShared = isShared
            self.validates = validates
            self.asksAsClient = asksAsClient
        }
    }

    /// How a request leaves for the origin.
    public enum Departure: Hashable, Sendable {
        /// The store is asked whether another request is at the origin for the same: see ``offered(_:)``.
        case seekFlight
        case fetch(FetchPlan)
    }

    public enum Found: Hashable, Sendable {
        case serve(Hit)
        /// Served now; the origin is asked behind the client's back.
        case serveAndRenew(Hit)
        /// Ask the disk for more variants: ``found(_:diskMayHoldMore:)`` once more with them.
        case load
        /// The proxy exchange forwards the request.
        case forward
        /// - fallback: the variant that may stand in if the origin fails, as an index.
        case depart(Departure, fallback: Int?)
        /// 504: the request may not be forwarded.
        case refuse
        case nothing
    }

    /// The store has answered.
    ///
    /// - Parameter diskMayHoldMore: asked only where nothing that is known will do, and the disk has not been asked.
    public mutating func found(_ lookup: Lookup, diskMayHoldMore: () -> Bool) -> Found {
        let wasLoaded: Bool
        switch self.phase {
        case .idle: wasLoaded = false
        case .loading: wasLoaded = true
        case .waiting, .inLine, .sending, .direct, .over: return .nothing
        }
        self.phase = .idle
        switch lookup {
        case .serve(let hit):
            self.serves(hit)
            return .serve(hit)
        case .serveAndRevalidate(let hit):
            self.serves(hit)
            return .serveAndRenew(hit)
        case .validate(let index, let reason):
            self.reason = reason
            self.canValidate = true
            return .depart(self.departs(), fallback: index)
        case .fetch(let reason, let superseded):
            self.reason = reason
            switch reason {
            case .bypass, .method: return self.goesDirectly(.bypass)
            case .uriMiss, .varyMiss, .request, .stale, .partial: break
            }
            if !wasLoaded, diskMayHoldMore() { return self.loads() }
            // A response to HEAD brings no body to store, and may tell that a stored one is out of date.
            guard self.request.mayFill else { return self.goesDirectly(.miss) }
            return .depart(self.departs(), fallback: superseded)
        case .unavailable:
            if !wasLoaded, diskMayHoldMore() { return self.loads() }
            self.phase = .over
            self.outcome = CacheOutcome(.onlyIfCached, .onlyIfCached)
            return .refuse
        }
    }

    private mutating func serves(_ hit: Hit) {
        self.phase = .sending
        self.outcome = CacheOutcome(hit)
    }

    private mutating func loads() -> Found {
        self.phase = .loading
        return .load
    }

    private mutating func goesDirectly(_ word: CacheOutcome.Word) -> Found {
        self.phase = .direct
        self.outcome = CacheOutcome(word, .forwarded(self.reason))
        return .forward
    }

    /// Without the store, whatever is in it: the request has a body, or asks for another protocol.
    public mutating func bypasses() {
        guard case .idle = self.phase else { return }
        self.reason = .method
        _ = self.goesDirectly(.bypass)
    }

    private mutating func departs() -> Departure {
        self.request.mayWait(self.reason) ? .seekFlight : .fetch(self.goes(isShared: false))
    }

    private mutating func goes(isShared: Bool) -> FetchPlan {
        self.phase = .waiting(.own)
        return FetchPlan(isShared: isShared, validates: self.canValidate, asksAsClient: self.isKnownUnshared)
    }

    // MARK: Other requests for the same

    /// What the store says about requests for the same that are at the origin.
    public enum FlightOffer: Hashable, Sendable {
        /// There is none: this one may go for all.
        ///
        /// - isHeldUp: it has to wait for a connection. Others, whose turn may come sooner, are not to wait for it.
        case lead(isHeldUp: Bool)
        /// - isKnown: it waited for that one before, which brought nothing for it.
        case join(isKnown: Bool)
        /// Responses under this key have lately been for one client each.
        case alone
    }

    public enum Boarding: Hashable, Sendable {
        /// Wait for the other request: ``heard(_:fallback:now:)``.
        case follow
        /// A flight that was offered but isn't shared is let go of.
        case fetch(FetchPlan)
        case nothing
    }

    public mutating func offered(_ offer: FlightOffer) -> Boarding {
        guard case .idle = self.phase else { return .nothing }
        switch offer {
        case .lead(let isHeldUp):
            return .fetch(self.goes(isShared: !isHeldUp))
        case .join(let isKnown):
            if isKnown { return .fetch(self.goes(isShared: false)) }
            self.phase = .waiting(.another)
            return .follow
        case .alone:
            self.isKnownUnshared = true
            return .fetch(self.goes(isShared: false))
        }
    }

    public enum Heard: Hashable, Sendable {
        /// What the other request brought is the answer.
        case serve
        case depart(Departure)
        /// Those that waited in vain don't go all at once: ``turnCame()``.
        case standInLine
        case serveStale(Hit)
        /// 502.
        case fail
        case nothing
    }

    /// The request that this one waits for has an outcome.
    public mutating func heard(_ news: Collapsing.Outcome, fallback: StoredResponse?, now: Int64) -> Heard {
        guard case .waiting(.another) = self.phase else { return .nothing }
        if case .failed = news { self.failures += 1 }
        if fallback == nil { self.canValidate = false }
        switch self.request.verdict(on: news, failures: self.failures, now: now) {
        case .serve:
            self.phase = .sending
            self.outcome = CacheOutcome(.collapsed, .forwarded(self.reason))
            return .serve
        case .lead:
            self.departures += 1
            guard self.departures <= Self.maximumDepartures else {
                return .depart(.fetch(self.goes(isShared: false)))
            }
            self.phase = .idle
            return .depart(.seekFlight)
        case .goAlone:
            if case .notStored = news { self.isKnownUnshared = true }
            self.phase = .inLine
            return .standInLine
        case .fail:
            if let hit = self.standsIn(fallback, status: nil, now: now) { return .serveStale(hit) }
            self.phase = .over
            self.outcome = CacheOutcome(.failed, .collapsed)
            return .fail
        }
    }

    /// Before it looks for a flight once more: whether the store has the answer by now.
    ///
    /// - Returns: how a fresh response answers; `nil` where none does, and the request goes on as it would have.
    public mutating func foundMeanwhile(_ lookup: Lookup) -> Hit? {
        guard case .idle = self.phase, self.departures > 0, case .serve(let hit) = lookup else { return nil }
        self.serves(hit)
        return hit
    }

    /// It may go to the origin now; `nil` if it doesn't stand in line.
    public mutating func turnCame() -> FetchPlan? {
        guard case .inLine = self.phase else { return nil }
        return self.goes(isShared: false)
    }

    // MARK: Its own response

    /// The response is stored, or could be but for its size: the answer is read from it as it comes.
    ///
    /// - Returns: whether to send it.
    public mutating func brought() -> Bool {
        guard case .waiting(.own) = self.phase else { return false }
        self.phase = .sending
        self.outcome = CacheOutcome(.miss, .forwarded(self.reason))
        return true
    }

    /// The origin said 304 to the cache's own question: the stored response is the answer.
    ///
    /// - Returns: whether to send it.
    public mutating func confirmed(_ refusal: StoreRefusal?) -> Bool {
        guard case .waiting(.own) = self.phase else { return false }
        self.phase = .sending
        self.refusal = refusal
        self.outcome = CacheOutcome(.revalidated, .forwarded(self.reason))
        return true
    }

    /// The response is for this client alone: the proxy exchange goes on with it.
    ///
    /// - Parameter wasAskedForAll: the client's conditions and range were kept from the origin.
    /// - Returns: whether it is wanted.
    public mutating func passesAlone(_ refusal: StoreRefusal, wasAskedForAll: Bool) -> Bool {
        guard case .waiting(.own) = self.phase else { return false }
        self.phase = .direct
        self.refusal = refusal
        self.judgesAnswer = wasAskedForAll
        self.outcome = CacheOutcome(.miss, .refused(refusal))
        return true
    }

    /// The origin sent `status`, or nothing.
    ///
    /// - Returns: how the fallback stands in for it; `nil` if it may not. What came, or the failure, is for the client then, and
    ///   nothing has changed.
    public mutating func mayUseStale(status: Int?, fallback: StoredResponse?, now: Int64) -> Hit? {
        guard case .waiting(.own) = self.phase else { return nil }
        return self.standsIn(fallback, status: status, now: now)
    }

    private mutating func standsIn(_ fallback: StoredResponse?, status: Int?, now: Int64) -> Hit? {
        guard let fallback, let hit = self.request.staleIfError(fallback, at: 0, status: status, now: now) else {
            return nil
        }
        self.phase = .sending
        self.outcome = CacheOutcome(.staleIfError, .originFailed(status))
        return hit
    }

    /// No response came, and nothing may stand in.
    ///
    /// - Parameter cause: for the log.
    /// - Returns: whether the client is to be told.
    public mutating func failed(_ cause: String) -> Bool {
        guard case .waiting(.own) = self.phase else { return false }
        self.phase = .over
        self.outcome = CacheOutcome(.failed, .cause(cause))
        return true
    }

    // MARK: Ends

    /// The whole answer is on its way to the client, or broke off.
    public mutating func ended() {
        self.phase = .over
    }

    /// The client is gone, or was answered otherwise: whatever was begun for it is let go of.
    public mutating func cancel() {
        self.phase = .over
    }
}
