import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore

/// What the store has for a request, looked up before anything is made for it: nothing is built for the origin, and an answer that
/// can be given at once needs no ``CacheExchange``.
struct CacheLook {
    let request: CheckedRequest
    let key: CacheKey
    var turn: CacheTurn
    /// What the turn decided; `nil`: the request goes by the store.
    let found: CacheTurn.Found?
    let variants: [CachedResponse]
    /// The purges that had taken place before.
    let generation: UInt64
    /// Milliseconds since 1970 UTC.
    let now: Int64

    init(_ request: CheckedRequest, in cache: SiteCache) {
        self.request = request
        self.key = cache.key(request)
        self.now = cache.clock()
        self.generation = cache.store.generation
        self.turn = CacheTurn(
            CacheRequest(
                method: request.method, fields: request.fields, rule: cache.rule(for: self.key), body: request.framing,
                source: request))
        if request.hasContent || request.upgrades {
            self.turn.bypasses()
            self.variants = []
            self.found = nil
            return
        }
        let variants = cache.store.lookup(self.key)
        self.variants = variants
        let lookup = self.turn.request.lookup(
            count: variants.count, variant: { variants[$0].response }, now: self.now)
        let (store, key) = (cache.store, self.key)
        self.found = self.turn.found(lookup, diskMayHoldMore: { store.mayBeOnDisk(key, besides: variants) })
    }

    /// The answer, where the store has all of it in memory and the client takes it in one go.
    ///
    /// - Parameter room: how many bytes the client takes.
    mutating func answer(room: Int) -> StoredAnswer? {
        let hit: Hit
        switch self.found {
        case .serve(let found), .serveAndRenew(let found): hit = found
        default: return nil
        }
        let entry = self.variants[hit.index]
        guard entry.body.length <= room, let chunks = entry.body.chunks else { return nil }
        let answer = Answer(
            from: entry.response, to: self.turn.request, now: self.now, source: .store, boundary: { "" })
        let body: [ByteBuffer]
        switch answer.body {
        case .none: body = []
        case .whole: body = chunks
        case .range, .multipart: return nil
        }
        entry.recordUse()
        self.turn.ended()
        return StoredAnswer(entry: entry, answer: answer, hit: hit, body: body)
    }

    /// Has a response that was served stale confirmed behind the client's back.
    func renew(in cache: SiteCache, by origins: OriginClient) {
        guard case .serveAndRenew(let hit) = self.found else { return }
        CacheFetch.renew(
            self.variants[hit.index], for: self.turn.request, self.request, key: self.key, since: self.generation,
            in: cache, by: origins)
    }
}

/// A stored response that goes out as it stands: nothing was made for the origin.
struct StoredAnswer {
    let entry: CachedResponse
    let answer: Answer
    let hit: Hit
    /// No more than a client takes at once, so that the store need not count who holds it.
    let body: [ByteBuffer]

    var bytes: Int { self.body.reduce(0) { $0 + $1.readableBytes } }

    /// The head, for a client that speaks HTTP/1.1, or any head that is not the stored one.
    func response(to request: CheckedRequest, closing: Bool, in cache: SiteCache, now: Int64) -> CheckedResponse {
        CheckedResponse(self.answer, to: request, closing: closing, status: cache.hitStatus(self.hit, now: now))
    }
}

extension SiteCache {
    /// What `Cache-Status` says of a hit; nil where the site wants none.
    func hitStatus(_ hit: Hit, now: Int64) -> AddedFields.Value? {
        guard let status else { return nil }
        if let (text, seconds) = status.fresh(hit) { return .numbered(text, seconds) }
        return .text(status.value(.hit(hit), now: now))
    }
}
