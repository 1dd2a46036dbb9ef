import CacheStorage
import HTTPCaching
import HTTPForwarding
import NIOCore

/// The cache's part in one client's request that is not answered at once: carries out what its ``CacheTurn`` decides. Lives on the
/// client's event loop, beside its ``ProxyExchange``.
///
/// Whatever goes wrong in here ends in a request to the origin or in the error that the client would have got without a
/// cache; a stored response that is not certainly right is not sent.
final class CacheExchange {
    let cache: SiteCache
    /// What the client sent.
    let asked: CheckedRequest
    let key: CacheKey
    unowned let exchange: ProxyExchange
    let client: OriginClient
    var turn: CacheTurn
    /// What may be served if the origin fails.
    var fallback: CachedResponse?
    /// The purges that had taken place when `fallback` was looked up.
    var generation: UInt64
    /// Of the request that it waits for.
    var follower: FillFollower?
    /// Whom it has waited for; only while it waits.
    var followed: [Fill] = []
    /// Its place among those that waited in vain; until the origin has answered it.
    var place: ReleaseGate.Ticket?
    /// The request to the origin that was begun for this one, as long as its response is wanted.
    var fetch: CacheFetch?
    /// What the origin was asked last for this request, for the log.
    var lastOrigin: OriginExchange?
    /// What is being sent.
    var body: CachedBody?
    /// A response to POST that is stored on its way.
    var writer: FillWriter?
    /// What of a response that goes by is for the client.
    var cut: BodyCut?
    var isPumping = false
    var pumpsAgain = false
    var requestTime: Int64

    init(_ look: CacheLook, exchange: ProxyExchange, cache: SiteCache, client: OriginClient) {
        self.asked = look.request
        self.exchange = exchange
        self.cache = cache
        self.client = client
        self.key = look.key
        self.turn = look.turn
        self.generation = look.generation
        self.requestTime = look.now
    }

    deinit { self.leaveLine(nil) }

    var request: CacheRequest { self.turn.request }

    /// Goes on with what was found. Once.
    func begin(_ look: CacheLook) {
        if let found = look.found {
            self.obey(found, look.variants, now: look.now)
        } else {
            self.exchange.forward()
        }
    }

    /// The client is gone, or was answered otherwise.
    func cancel() {
        self.turn.cancel()
        self.leaveLine(nil)
        self.follower?.cancel()
        self.follower = nil
        self.body?.cancel()
        self.body = nil
        self.writer?.fail(.originFailed("the client left"))
        self.writer = nil
        let fetch = self.fetch
        self.fetch = nil
        fetch?.leaderLeft()
    }

    // MARK: The store

    private func obey(_ found: CacheTurn.Found, _ variants: StoredVariants, now: Int64) {
        switch found {
        case .serve(let hit):
            self.serve(variants[hit.index], hit, now: now)
        case .serveAndRenew(let hit):
            self.renew(variants[hit.index])
            self.serve(variants[hit.index], hit, now: now)
        case .load:
            self.load()
        case .depart(let departure, let index):
            self.fallback = index.map { variants[$0] }
            self.depart(departure, selectors: variants.first?.response.variant ?? .invariant, now: now)
        case .forward:
            self.requestTime = now
            self.exchange.forward()
        case .refuse:
            var answer = LocalResponse.onlyIfCached
            answer.cacheStatus = self.cache.status?.value(.onlyIfCached, now: now)
            self.exchange.answer(answer)
        case .nothing:
            break
        }
    }

    private func load() {
        self.generation = self.cache.store.generation
        self.cache.store.load(self.key, on: self.client.eventLoop).assumeIsolated().whenComplete { result in
            // A disk that fails is as good as none.
            let variants = StoredVariants((try? result.get()) ?? [])
            let now = self.cache.clock()
            let lookup = self.request.lookup(
                count: variants.count, variant: { variants[$0].response }, now: now)
            self.obey(self.turn.found(lookup, diskMayHoldMore: { false }), variants, now: now)
        }
    }

    private func renew(_ entry: CachedResponse) {
        CacheFetch.renew(
            entry, for: self.request, self.asked, key: self.key, since: self.generation, in: self.cache,
            by: self.client)
    }

    /// Purges that came since the look-up hold for what it found, too.
    func noticePurges() {
        guard let fallback else { return }
        let generation = self.cache.store.generation
        self.fallback = self.cache.store.current(fallback, since: self.generation)
        self.generation = generation
    }
}

/// Wakes what is still there.
final class WakeTarget {
    weak var exchange: CacheExchange?

    init(_ exchange: CacheExchange) {
        self.exchange = exchange
    }
}
