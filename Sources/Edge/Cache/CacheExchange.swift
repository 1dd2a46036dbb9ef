import CacheStorage
import HTTPCaching
import HTTPForwarding
import NIOCore
import NIOHTTP1

/// The cache's part in one client's request: looks it up, answers it from the store, waits for somebody else's answer, or
/// has it fetched. Lives on the client's event loop, beside its ``ProxyExchange``.
///
/// Whatever goes wrong in here ends in a request to the origin or in the error that the client would have got without a
/// cache; a stored response that is not certainly right is not sent.
final class CacheExchange {
    enum State {
        case idle
        /// The disk is asked for more variants.
        case loading
        /// The head of somebody's response is to come: of our own fetch, or of another exchange's.
        case waiting(FillFollower, CacheFetch?)
        /// It waited in vain, and goes to the origin when it is its turn.
        case inLine
        case sending(CachedBody, CacheFetch?)
        /// The proxy exchange does it alone; a response to POST may be stored on its way.
        case direct(FillWriter?)
        case over
    }

    let cache: SiteCache
    let request: CacheRequest
    let forwarded: ForwardedRequest
    let key: CacheKey
    unowned let exchange: ProxyExchange
    let client: OriginClient
    var state = State.idle
    var outcome = CacheOutcome(word: .bypass, reason: "")
    /// Why the request goes to the origin.
    var reason = ForwardReason.uriMiss
    /// What may be served if the origin fails.
    var fallback: CachedResponse?
    /// How often a request that this one waited for has failed.
    var failures = 0
    /// How often it has gone on for itself, or for others, after it had waited for another.
    var departures = 0
    /// Whom it has waited for; only while it waits.
    var followed: [Fill] = []
    /// The purges that had taken place when `fallback` was looked up.
    var generation: UInt64 = 0
    /// Its place among those who waited in vain; until the origin has answered it.
    var place: ReleaseGate.Ticket?
    var isPumping = false
    var pumpsAgain = false
    var requestTime: Int64 = 0

    /// Beyond that, a request that finds nothing for itself in what it waited for asks the origin alone.
    static let maximumDepartures = 2

    init(_ forwarded: ForwardedRequest, exchange: ProxyExchange, cache: SiteCache, client: OriginClient) {
        self.forwarded = forwarded
        self.exchange = exchange
        self.cache = cache
        self.client = client
        let head = forwarded.head
        self.key = cache.key(forwarded, host: head.headers.first(name: "Host") ?? "")
        self.request = CacheRequest(
            method: head.method, fields: head.headers, rule: cache.policy.rule(for: self.key),
            hasBody: forwarded.body != .none)
    }

    /// The request to the origin that was begun for this one.
    var fetch: CacheFetch? {
        switch self.state {
        case .waiting(_, let fetch), .sending(_, let fetch): fetch
        case .idle, .loading, .inLine, .direct, .over: nil
        }
    }

    /// Whether it waits for something that has a time limit of its own.
    var isWaiting: Bool {
        switch self.state {
        case .loading, .waiting, .inLine, .sending: true
        case .idle, .direct, .over: false
        }
    }

    func begin() {
        let now = self.cache.clock()
        self.requestTime = now
        self.generation = self.cache.store.generation
        if self.forwarded.body != .none || self.forwarded.upgrades { return self.goDirectly(.method, now: now) }
        self.decide(self.cache.store.lookup(self.key), asksDisk: true, now: now)
    }

    /// The client is gone, or was answered otherwise.
    func cancel() {
        let state = self.state
        self.state = .over
        self.leaveLine(answered: false)
        switch state {
        case .waiting(let follower, let fetch):
            follower.cancel()
            fetch?.leaderLeft()
        case .sending(let body, let fetch):
            body.cancel()
            fetch?.leaderLeft()
        case .direct(let writer):
            writer?.fail(.originFailed("the client left"))
        case .idle, .loading, .inLine, .over:
            break
        }
    }

    deinit { self.leaveLine(answered: false) }

    // MARK: Deciding

    func decide(_ variants: [CachedResponse], asksDisk: Bool, now: Int64) {
        let lookup = self.request.lookup(variants.map(\.response), now: now)
        switch lookup {
        case .serve(let hit):
            self.serve(variants[hit.index], hit, now: now)
        case .serveAndRevalidate(let hit):
            let entry = variants[hit.index]
            CacheFetch.revalidate(entry, for: self, client: self.client)
            self.serve(entry, hit, now: now)
        case .validate(let index, let reason):
            self.goToOrigin(reason, validates: true, fallback: variants[index], variants, now: now)
        case .fetch(let reason, let superseded):
            switch reason {
            case .bypass, .method: return self.goDirectly(reason, now: now)
            case .uriMiss, .varyMiss, .request, .stale, .partial: break
            }
            if asksDisk, self.cache.store.mayBeOnDisk(self.key, besides: variants) { return self.askDisk() }
            self.goToOrigin(
                reason, validates: false, fallback: superseded.map { variants[$0] }, variants, now: now)
        case .unavailable:
            if asksDisk, self.cache.store.mayBeOnDisk(self.key, besides: variants) { return self.askDisk() }
            self.state = .over
            self.outcome = CacheOutcome(word: .onlyIfCached, reason: "only-if-cached")
            var answer = LocalResponse.onlyIfCached
            answer.cacheStatus = self.cache.status?.value(.onlyIfCached, now: now)
            self.exchange.answer(answer)
        }
    }

    func askDisk() {
        self.state = .loading
        self.generation = self.cache.store.generation
        self.cache.store.load(self.key, on: self.client.eventLoop).assumeIsolated().whenComplete { result in
            guard case .loading = self.state else { return }
            self.state = .idle
            // A disk that fails is as good as none.
            let variants: [CachedResponse] = (try? result.get()) ?? []
            self.decide(variants, asksDisk: false, now: self.cache.clock())
        }
    }

    // MARK: Going to the origin

    func goToOrigin(
        _ reason: ForwardReason, validates: Bool, fallback: CachedResponse?, _ variants: [CachedResponse], now: Int64
    ) {
        self.reason = reason
        self.fallback = fallback
        // HEAD brings no body to store, and may tell that a stored one is out of date.
        guard self.request.method == .GET else { return self.goDirectly(reason, now: now) }
        let selectors = variants.first?.response.variant.selectors ?? []
        self.takeOff(selectors: selectors, validates: validates, now: now)
    }

    /// - Parameter validates: whether the origin is asked about `fallback`.
    func takeOff(selectors: [VariantKey.Selector], validates: Bool, now: Int64) {
        guard self.request.mayWait(self.reason) else { return self.lead(nil, validates: validates) }
        let variant = SiteCache.flightVariant(of: self.request, selectors: selectors)
        switch self.cache.store.flight(for: self.key, variant: variant, now: now) {
        case .lead(let writer):
            // It has to wait for its turn. Others, whose turn may come sooner, are not to wait for it.
            if self.client.isOverShare(self.exchange.network) {
                writer.fail(.abandoned)
                return self.lead(nil, validates: validates)
            }
            self.lead(writer, validates: validates)
        case .alone: self.lead(nil, validates: validates)
        case .join(let fill):
            // It has shown what it brings, and that was nothing for this request.
            if self.followed.contains(where: { $0 === fill }) { return self.lead(nil, validates: validates) }
            self.followed.append(fill)
            let follower = fill.follow(on: self.client.eventLoop, wake: self.wake)
            self.state = .waiting(follower, nil)
            self.followerHasNews(follower)
        }
    }

    /// - Parameter writer: nil: nobody can join.
    func lead(_ writer: FillWriter?, validates: Bool) {
        let isShared = writer != nil
        let writer = writer ?? self.cache.store.soloFill(for: self.key)
        self.followed = []
        // Now that there is the fill, since later purges find that.
        self.noticePurges()
        let follower = writer.fill.follow(on: self.client.eventLoop, wake: self.wake)
        let fetch = CacheFetch(
            .init(
                request: self.request, forwarded: self.forwarded, key: self.key,
                validating: validates ? self.fallback : nil, generation: self.generation,
                network: self.exchange.network, isShared: isShared),
            writer: writer, cache: self.cache, client: self.client, leader: self)
        self.state = .waiting(follower, fetch)
        fetch.begin()
    }

    /// Without the store; only what the response means for it is looked at.
    func goDirectly(_ reason: ForwardReason, now: Int64) {
        self.reason = reason
        self.requestTime = now
        self.state = .direct(nil)
        self.outcome = CacheOutcome(word: self.request.method == .HEAD ? .miss : .bypass, reason: reason.text)
        self.exchange.forward()
    }

    // MARK: What our own fetch found

    func fetchInformational(_ head: HTTPResponseHead) {
        self.exchange.originInformational(head)
    }

    /// The connection to the origin is there.
    func fetchMoved() { self.exchange.originWritabilityChanged() }

    /// A response that is stored, or could be but for its size.
    func fetchBegan(
        _ stored: StoredResponse, withheld: [(name: String, value: String)], isStored: Bool, now: Int64
    ) {
        guard case .waiting(let follower, let fetch) = self.state else { return }
        self.leaveLine(answered: true)
        self.outcome = CacheOutcome(word: .miss, reason: self.reason.text)
        let event = CacheStatus.Event.forwarded(
            self.reason, status: Int(stored.status.code), stored: isStored ? stored : nil)
        self.send(
            stored, from: follower, withheld: withheld, status: self.cache.status?.value(event, now: now), fetch: fetch,
            now: now)
    }

    /// The origin said 304 to the cache's own question.
    func fetchValidated(
        _ entry: CachedResponse, as response: StoredResponse, withheld: [(name: String, value: String)],
        refusal: StoreRefusal?, now: Int64
    ) {
        guard case .waiting(let follower, _) = self.state else { return }
        self.leaveLine(answered: true)
        follower.cancel()
        entry.recordUse()
        self.outcome = CacheOutcome(word: .revalidated, reason: self.reason.text)
        let status = self.cache.status?.value(.validated(self.reason, response, refusal: refusal), now: now)
        self.send(entry, as: response, withheld: withheld, status: status, now: now)
    }

    /// A response that is for this request alone: the proxy exchange goes on with it.
    func fetchIsOurs(_ origin: OriginExchange, _ head: HTTPResponseHead, refusal: StoreRefusal?) {
        guard case .waiting(let follower, _) = self.state else { return origin.cancel() }
        self.leaveLine(answered: head.status.code < 500)
        follower.cancel()
        self.state = .direct(nil)
        self.outcome = CacheOutcome(word: .miss, reason: refusal.map { $0.rawValue } ?? self.reason.text)
        self.refusal = refusal
        self.exchange.adopt(origin, head)
    }

    var refusal: StoreRefusal?

    /// The origin failed: it sent `status`, or nothing. Serves a stale response if one may be.
    ///
    /// - Returns: false if the failure has to be passed on.
    func fetchMayUseStale(status: Int?, now: Int64) -> Bool {
        self.noticePurges()
        guard case .waiting(let follower, _) = self.state, let fallback,
            self.request.staleIfError(fallback.response, at: 0, status: status, now: now) != nil
        else { return false }
        self.leaveLine(answered: false)
        follower.cancel()
        return self.serveStale(fallback, origin: status, now: now)
    }

    func fetchFailed(_ failure: OriginFailure) {
        guard case .waiting(let follower, _) = self.state else { return }
        self.leaveLine(answered: false)
        follower.cancel()
        self.state = .over
        self.outcome = CacheOutcome(word: .failed, reason: failure.cause.rawValue)
        self.exchange.fail(failure)
    }
}

/// Wakes what is still there.
final class WakeTarget {
    weak var exchange: CacheExchange?

    init(_ exchange: CacheExchange) {
        self.exchange = exchange
    }
}
