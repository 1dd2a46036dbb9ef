import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore

/// What the store has for a request, looked up before anything is made for it: nothing is built for the origin, and an answer that
/// can be given at once needs no ``CacheExchange``.
struct CacheLook {
    let asker: CacheAsker
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
        let asker = CacheAsker(request)
        self.asker = asker
        self.key = cache.key(request)
        self.now = cache.clock()
        self.generation = cache.store.generation
        self.turn = CacheTurn(
            CacheRequest(
                method: request.method, fields: request.fields, rule: cache.policy.rule(for: self.key),
                body: request.framing, source: asker))
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
    /// - Parameters:
    ///   - room: how many bytes the client takes.
    ///   - closing: no further request on its connection.
    mutating func answer(room: Int, closing: Bool, in cache: SiteCache) -> ImmediateAnswer? {
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
        return ImmediateAnswer(
            response: CheckedResponse(
                answer, to: self.asker.request, closing: closing,
                status: cache.status?.value(.hit(hit), now: self.now)),
            body: body)
    }

    /// Has a response that was served stale confirmed behind the client's back.
    func renew(in cache: SiteCache, by origins: OriginClient) {
        guard case .serveAndRenew(let hit) = self.found else { return }
        CacheFetch.renew(
            self.variants[hit.index], for: self.turn.request, self.asker.request, key: self.key,
            since: self.generation, in: cache, by: origins)
    }
}

/// A request as the cache asks about it: what the origin would get is asked for by name.
final class CacheAsker: SelectorSource {
    let request: CheckedRequest

    init(_ request: CheckedRequest) {
        self.request = request
    }

    func forEachSelectorLine(_ name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void) {
        self.request.forEachSelectorLine(name, body)
    }

    func forEachDifferingClaim(_ body: (FieldRecord) -> Void) { self.request.forEachDifferingClaim(body) }
}

/// A stored response that goes out as it stands.
struct ImmediateAnswer {
    let response: CheckedResponse
    /// No more than a client takes at once, so that the store need not count who holds it.
    let body: [ByteBuffer]
}
