import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore
import NIOHTTP1

/// The cache's part in one client's request: carries out what its ``CacheTurn`` decides. Lives on the client's event loop, beside
/// its ``ProxyExchange``.
///
/// Whatever goes wrong in here ends in a request to the origin or in the error that the client would have got without a
/// cache; a stored response that is not certainly right is not sent.
final class CacheExchange {
    let cache: SiteCache
    let forwarded: ForwardedRequest
    let key: CacheKey
    unowned let exchange: ProxyExchange
    let client: OriginClient
    var turn: CacheTurn
    /// What may be served if the origin fails.
    var fallback: CachedResponse?
    /// The purges that had taken place when `fallback` was looked up.
    var generation: UInt64 = 0
    /// Of the request that it waits for.
    var follower: FillFollower?
    /// Whom it has waited for; only while it waits.
    var followed: [Fill] = []
    /// Its place among those that waited in vain; until the origin has answered it.
    var place: ReleaseGate.Ticket?
    /// The request to the origin that was begun for this one, as long as its response is wanted.
    var fetch: CacheFetch?
    /// What is being sent.
    var body: CachedBody?
    /// A response to POST that is stored on its way.
    var writer: FillWriter?
    /// What of a response that goes by is for the client.
    var cut: BodyCut?
    var isPumping = false
    var pumpsAgain = false
    var requestTime: Int64 = 0

    init(_ forwarded: ForwardedRequest, exchange: ProxyExchange, cache: SiteCache, client: OriginClient) {
        self.forwarded = forwarded
        self.exchange = exchange
        self.cache = cache
        self.client = client
        let head = forwarded.head
        self.key = cache.key(forwarded, host: head.headers.first(name: "Host") ?? "")
        self.turn = CacheTurn(
            CacheRequest(
                method: RequestMethod(head.method), fields: FieldSection(head.headers),
                rule: cache.policy.rule(for: self.key), body: BodyFraming(forwarded.body)))
    }

    deinit { self.leaveLine(nil) }

    var request: CacheRequest { self.turn.request }

    func begin() {
        let now = self.cache.clock()
        self.requestTime = now
        self.generation = self.cache.store.generation
        if self.forwarded.body.length != 0 || self.forwarded.upgrades {
            self.turn.bypasses()
            return self.exchange.forward()
        }
        self.found(self.cache.store.lookup(self.key), now: now)
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

    private func found(_ variants: [CachedResponse], now: Int64) {
        let lookup = self.request.lookup(variants.map(\.response), now: now)
        let (store, key) = (self.cache.store, self.key)
        switch self.turn.found(lookup, diskMayHoldMore: { store.mayBeOnDisk(key, besides: variants) }) {
        case .serve(let hit):
            self.serve(variants[hit.index], hit, now: now)
        case .serveAndRenew(let hit):
            CacheFetch.revalidate(variants[hit.index], for: self, client: self.client)
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
            self.found((try? result.get()) ?? [], now: self.cache.clock())
        }
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
