import CacheStorage
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore

/// What the store has for a request that it can't answer at once, looked up before anything was made for the origin.
struct CacheLook {
    let request: CheckedRequest
    let key: CacheKey
    let turn: CacheTurn
    /// What the turn decided; `nil`: the request goes by the store.
    let found: CacheTurn.Found?
    let variants: StoredVariants
    /// The purges that had taken place before.
    let generation: UInt64
    /// Milliseconds since 1970 UTC.
    let now: Int64
}

/// What a site's store says to a request, before anything is made for the origin. Passed on, never copied, as what it carries.
enum StoreReply: ~Copyable {
    /// The answer, whole. There will be no exchange.
    case answer(StoredAnswer)
    /// An exchange goes on with what was found; nil where the site has no store.
    case look(CacheLook?)
}

extension ProxySite {
    /// Asks the store.
    ///
    /// - Parameters:
    ///   - room: how many bytes of a body the client takes in one go.
    ///   - origins: of whom a response that is served stale is confirmed, behind the client's back.
    func ask(for request: CheckedRequest, room: Int, by origins: OriginClient) -> StoreReply {
        guard let cache = self.cache else { return .look(nil) }
        return cache.ask(for: request, room: room, by: origins)
    }
}

extension SiteCache {
    fileprivate func ask(for asked: CheckedRequest, room: Int, by origins: OriginClient) -> StoreReply {
        let key = self.key(asked)
        let now = self.clock()
        let generation = self.store.generation
        let request = CacheRequest(
            method: asked.method, fields: asked.fields, rule: self.rule(for: key), body: asked.framing, source: asked)
        if asked.hasContent || asked.upgrades {
            var turn = CacheTurn(request)
            turn.bypasses()
            return .look(
                CacheLook(
                    request: asked, key: key.key, turn: turn, found: nil, variants: StoredVariants(),
                    generation: generation, now: now))
        }
        let variants = self.store.lookup(key)
        // Put together once: there is one variant as a rule.
        let only = variants.only?.response
        let lookup: Lookup =
            if let only {
                request.lookup(only: only, now: now)
            } else {
                request.lookup(count: variants.count, variant: { variants[$0].response }, now: now)
            }
        if let hit = lookup.hit {
            let entry = variants[hit.index]
            if let answer = StoredAnswer(
                entry, only ?? entry.response, hit, of: self, to: asked, request, room: room, now: now)
            {
                if case .serveAndRevalidate = lookup {
                    CacheFetch.renew(
                        entry, for: request, asked, key: key.key, since: generation, in: self, by: origins)
                }
                return .answer(answer)
            }
        }
        return .look(
            self.look(request, asked, key: key.key, lookup, variants, generation: generation, now: now))
    }

    /// What an exchange begins with where the store has no answer at hand.
    private func look(
        _ request: consuming CacheRequest, _ asked: CheckedRequest, key: CacheKey, _ lookup: Lookup,
        _ variants: StoredVariants, generation: UInt64, now: Int64
    ) -> CacheLook {
        var turn = CacheTurn(request)
        let found = turn.found(lookup, diskMayHoldMore: { self.store.mayBeOnDisk(key, besides: variants) })
        return CacheLook(
            request: asked, key: key, turn: turn, found: found, variants: variants, generation: generation, now: now)
    }
}

/// A stored response that goes out as it stands: nothing was made for the origin.
struct StoredAnswer: ~Copyable {
    let cache: SiteCache
    let request: CheckedRequest
    let entry: CachedResponse
    let answer: Answer
    let hit: Hit
    /// No more than a client takes at once, so that the store need not count who holds it.
    let body: StoredBody.Whole
    /// Milliseconds since 1970 UTC.
    let now: Int64

    /// nil where not all of it is in memory, or the client does not take all of it in one go.
    fileprivate init?(
        _ entry: CachedResponse, _ response: borrowing StoredResponse, _ hit: Hit, of cache: SiteCache,
        to asked: CheckedRequest, _ request: borrowing CacheRequest, room: Int, now: Int64
    ) {
        let stored = entry.body
        guard stored.length <= room, let whole = stored.whole else { return nil }
        let answer = Answer(from: response, to: request, now: now, source: .store, boundary: { "" })
        switch answer.body {
        case .none: self.body = .chunks([])
        case .whole: self.body = whole
        case .range, .multipart: return nil
        }
        entry.recordUse()
        self.cache = cache
        self.request = asked
        self.entry = entry
        self.answer = answer
        self.hit = hit
        self.now = now
    }

    var status: Int { self.answer.status }
    var bytes: Int {
        switch self.body {
        case .packed(let bytes): bytes.count
        case .chunks(let chunks): chunks.reduce(0) { $0 + $1.readableBytes }
        }
    }
    /// What log and metrics say of it.
    var outcome: CacheOutcome { CacheOutcome(self.hit) }

    /// What `Cache-Status` says; nil where the site wants none.
    var cacheStatus: AddedFields.Value? {
        guard let status = self.cache.status else { return nil }
        if let (text, seconds) = status.fresh(self.hit) { return .numbered(text, seconds) }
        return .text(status.value(.hit(self.hit), now: self.now))
    }

    /// The head, for any client. Where it is the stored one, there are shorter ways.
    func response(closing: Bool) -> CheckedResponse {
        CheckedResponse(self.answer, to: self.request, closing: closing, status: self.cacheStatus)
    }

    /// Writes all of it for a client of HTTP/1.1 or HTTP/1.0.
    ///
    /// - Parameter closing: no further request on this connection.
    /// - Returns: whether the connection may carry another request.
    func write(to queue: inout WriteQueue, closing: Bool) -> Bool {
        let persists: Bool
        // Framing is no question where the length is known, or nothing follows.
        if self.answer.isStoredHead, self.answer.length != nil, !self.request.showsName {
            persists = self.request.clientPersists && !closing
            queue.append(
                StoredHead(
                    lines: self.answer.head, age: self.answer.age, status: self.cacheStatus,
                    connection: persists ? self.request.version == .http10 ? .keepAlive : .none : .close,
                    contentLength: self.answer.contentLength), self.body)
        } else {
            let response = self.response(closing: closing)
            persists = response.clientPersists
            queue.append(response.head)
            queue.append(self.body)
        }
        return persists
    }
}
