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
    private enum State {
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
    private unowned let exchange: ProxyExchange
    private let client: OriginClient
    private var state = State.idle
    private(set) var outcome = CacheOutcome(word: .bypass, reason: "")
    /// Why the request goes to the origin.
    private var reason = ForwardReason.uriMiss
    /// What may be served if the origin fails.
    private var fallback: CachedResponse?
    /// How often a request that this one waited for has failed.
    private var failures = 0
    /// How often it has gone on for itself, or for others, after it had waited for another.
    private var departures = 0
    /// Whom it has waited for; only while it waits.
    private var followed: [Fill] = []
    /// The purges that had taken place when `fallback` was looked up.
    private(set) var generation: UInt64 = 0
    /// Its place among those who waited in vain; until the origin has answered it.
    private var place: ReleaseGate.Ticket?
    private var isPumping = false
    private var pumpsAgain = false
    private var requestTime: Int64 = 0

    /// Beyond that, a request that finds nothing for itself in what it waited for asks the origin alone.
    private static let maximumDepartures = 2

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

    private func decide(_ variants: [CachedResponse], asksDisk: Bool, now: Int64) {
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

    private func askDisk() {
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

    // MARK: Answering from the store

    private func serve(_ entry: CachedResponse, _ hit: Hit, now: Int64) {
        entry.recordUse()
        let word: CacheOutcome.Word =
            switch hit.allowance {
            case .fresh: .hit
            case .staleWhileRevalidate, .maxStale: .stale
            case .staleIfError: .staleIfError
            }
        self.outcome = CacheOutcome(word: word, reason: hit.allowance.rawValue)
        self.send(entry, status: self.cache.status?.value(.hit(hit), now: now), now: now)
    }

    /// Serves a stale response in the place of the origin's failure, if one may be.
    ///
    /// - Parameter status: what the origin answered; nil if nothing.
    /// - Returns: whether it did.
    private func serveStale(_ entry: CachedResponse?, origin status: Int?, now: Int64) -> Bool {
        guard let entry, let hit = self.request.staleIfError(entry.response, at: 0, status: status, now: now) else {
            return false
        }
        entry.recordUse()
        self.outcome = CacheOutcome(word: .staleIfError, reason: status.map { "origin-\($0)" } ?? "origin-failed")
        let text = self.cache.status?.value(.staleIfError(self.reason, hit, status: status), now: now)
        self.send(entry, status: text, now: now)
        return true
    }

    private func send(
        _ entry: CachedResponse, as response: StoredResponse? = nil, withheld: [(name: String, value: String)] = [],
        status: String?, now: Int64
    ) {
        let answer = Answer(
            from: response ?? entry.response, to: self.request, now: now, source: .store, withheld: withheld,
            boundary: Self.boundary)
        let eventLoop = self.client.eventLoop
        func reader(_ range: Range<Int>?) -> BodyReader {
            entry.body.reader(range: range, on: eventLoop, wake: self.wake)
        }
        switch answer.body {
        case .none:
            self.send(answer, body: nil, status: status, fetch: nil)
        case .whole:
            let body = entry.body.chunks.map { CachedBody($0, of: entry.body) } ?? CachedBody(reader(nil))
            self.send(answer, body: body, status: status, fetch: nil)
        case .range(let range):
            let body = CachedBody(reader(Int(range.lowerBound)..<Int(range.upperBound) + 1))
            self.send(answer, body: body, status: status, fetch: nil)
        case .multipart(let multipart):
            self.send(answer, body: CachedBody(multipart) { reader($0) }, status: status, fetch: nil)
        }
    }

    /// From a response that is still on its way.
    private func send(
        _ stored: StoredResponse, from follower: FillFollower, withheld: [(name: String, value: String)],
        status: String?, fetch: CacheFetch?, now: Int64
    ) {
        var response = stored
        // What comes piece by piece can't be read twice: several ranges are answered with the whole.
        if self.request.asksForSeveralRanges { response.extent = .complete(length: nil) }
        let answer = Answer(
            from: response, to: self.request, now: now, source: .origin, withheld: withheld, boundary: Self.boundary)
        switch answer.body {
        case .none, .multipart:
            follower.cancel()
            self.send(answer, body: nil, status: status, fetch: fetch)
        case .whole:
            self.send(answer, body: CachedBody(follower.body()), status: status, fetch: fetch)
        case .range(let range):
            let body = CachedBody(follower.body(range: Int(range.lowerBound)..<Int(range.upperBound) + 1))
            self.send(answer, body: body, status: status, fetch: fetch)
        }
    }

    private func send(_ answer: Answer, body: CachedBody?, status: String?, fetch: CacheFetch?) {
        let response = ForwardedResponse(
            answer, to: self.forwarded, closing: self.exchange.isLastRequest, status: status)
        self.followed = []
        self.exchange.cacheHead(response)
        guard let body else {
            self.state = .over
            fetch?.leaderLeft()
            return self.exchange.originEnd(nil)
        }
        self.state = .sending(body, fetch)
        self.pump()
    }

    /// A flush may say from within that the client takes more, and so lead here again: then it is done after that.
    private func pump() {
        guard !self.isPumping else { return self.pumpsAgain = true }
        self.isPumping = true
        defer { self.isPumping = false }
        repeat {
            self.pumpsAgain = false
            self.sendMore()
        } while self.pumpsAgain
    }

    private func sendMore() {
        guard case .sending(let body, let fetch) = self.state else { return }
        let exchange = self.exchange
        let progress = body.pump(
            isWritable: { exchange.isWritable }, send: { exchange.originBody($0) }, flush: { exchange.flush() })
        // The client may have gone at a flush.
        guard case .sending = self.state else { return }
        switch progress {
        case .blocked, .pending:
            exchange.originReadComplete()
        case .end:
            self.state = .over
            let trailers = fetch?.trailers
            fetch?.leaderLeft()
            exchange.originEnd(trailers)
        case .truncated(let failure):
            self.state = .over
            let cause = fetch?.failure
            fetch?.leaderLeft()
            exchange.fail(cause ?? OriginFailure(.reset, "\(failure)"))
        }
    }

    func clientWritabilityChanged(_ isWritable: Bool) {
        if isWritable { self.pump() }
    }

    /// Run on this event loop when a reader or a follower has news.
    private var wake: @Sendable () -> Void {
        let target = NIOLoopBound(WakeTarget(self), eventLoop: self.client.eventLoop)
        return { target.value.exchange?.woken() }
    }

    private func woken() {
        switch self.state {
        case .waiting(let follower, nil): self.followerHasNews(follower)
        case .sending: self.pump()
        case .waiting, .idle, .loading, .inLine, .direct, .over: break
        }
    }

    private static func boundary() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<3).map { _ in String(generator.next(), radix: 36) }.joined()
    }

    // MARK: Going to the origin

    private func goToOrigin(
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
    private func takeOff(selectors: [VariantKey.Selector], validates: Bool, now: Int64) {
        guard self.request.mayWait(self.reason) else { return self.lead(nil, validates: validates) }
        let variant = SiteCache.flightVariant(of: self.request, selectors: selectors)
        switch self.cache.store.flight(for: self.key, variant: variant, now: now) {
        case .lead(let writer): self.lead(writer, validates: validates)
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
    private func lead(_ writer: FillWriter?, validates: Bool) {
        let isShared = writer != nil
        let writer = writer ?? self.cache.store.soloFill(for: self.key)
        self.followed = []
        // Now that there is the fill, since later purges find that.
        self.noticePurges()
        let follower = writer.fill.follow(on: self.client.eventLoop, wake: self.wake)
        let fetch = CacheFetch(
            .init(
                request: self.request, forwarded: self.forwarded, key: self.key,
                validating: validates ? self.fallback : nil, generation: self.generation, isShared: isShared),
            writer: writer, cache: self.cache, client: self.client, leader: self)
        self.state = .waiting(follower, fetch)
        fetch.begin()
    }

    /// Without the store; only what the response means for it is looked at.
    private func goDirectly(_ reason: ForwardReason, now: Int64) {
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

    private var refusal: StoreRefusal?

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

    // MARK: What another's fetch found

    private func followerHasNews(_ follower: FillFollower) {
        let now = self.cache.clock()
        switch follower.head() {
        case .pending:
            return
        case .shared(let stored):
            self.follow(.stored(stored), stored.variant.selectors, follower, now: now) {
                self.outcome = CacheOutcome(word: .collapsed, reason: self.reason.text)
                let event = CacheStatus.Event.forwarded(
                    self.reason, status: Int(stored.status.code), stored: nil, collapsed: true)
                self.send(
                    stored, from: follower, withheld: [], status: self.cache.status?.value(event, now: now),
                    fetch: nil, now: now)
            }
        case .validated(let entry):
            self.follow(.stored(entry.response), entry.response.variant.selectors, follower, now: now) {
                follower.cancel()
                self.outcome = CacheOutcome(word: .collapsed, reason: self.reason.text)
                let event = CacheStatus.Event.forwarded(self.reason, status: 304, stored: nil, collapsed: true)
                self.send(entry, status: self.cache.status?.value(event, now: now), now: now)
            }
        case .unshared:
            self.follow(.notStored, [], follower, now: now) {}
        case .failed:
            self.failures += 1
            self.follow(.failed, [], follower, now: now) {}
        }
    }

    private func follow(
        _ outcome: Collapsing.Outcome, _ selectors: [VariantKey.Selector], _ follower: FillFollower, now: Int64,
        serve: () -> Void
    ) {
        let verdict = self.request.verdict(on: outcome, failures: self.failures, now: now)
        if verdict == .serve { return serve() }
        follower.cancel()
        self.state = .idle
        switch verdict {
        case .serve:
            break
        case .lead:
            self.departures += 1
            self.noticePurges()
            guard self.departures <= Self.maximumDepartures else { return self.lead(nil, validates: self.mayValidate) }
            self.takeOff(selectors: selectors, validates: self.mayValidate, now: now)
        case .goAlone:
            self.standInLine()
        case .fail:
            self.noticePurges()
            if self.serveStale(self.fallback, origin: nil, now: now) { return }
            self.state = .over
            self.outcome = CacheOutcome(word: .failed, reason: "collapsed")
            self.exchange.fail(OriginFailure(.reset, "the request that this one waited for failed"))
        }
    }

    /// Those who waited in vain don't go all at once.
    private func standInLine() {
        let target = NIOLoopBound(WakeTarget(self), eventLoop: self.client.eventLoop)
        self.state = .inLine
        let place = self.cache.releases.enter(self.key, on: self.client.eventLoop) {
            guard let exchange = target.value.exchange, case .inLine = exchange.state else { return }
            exchange.lead(nil, validates: exchange.mayValidate)
            exchange.exchange.originWritabilityChanged()
        }
        self.place = place
        if place.mayGo { self.lead(nil, validates: self.mayValidate) }
    }

    private func leaveLine(answered: Bool) {
        guard let place else { return }
        self.place = nil
        self.cache.releases.leave(place, widens: answered)
    }

    private var mayValidate: Bool {
        guard case .stale = self.reason, let fallback, fallback.response.hasValidator,
            case .complete = fallback.response.extent
        else { return false }
        return true
    }

    /// Purges that came since the look-up hold for what it found, too.
    private func noticePurges() {
        guard let fallback else { return }
        let generation = self.cache.store.generation
        self.fallback = self.cache.store.current(fallback, since: self.generation)
        self.generation = generation
    }

    // MARK: The direct way

    /// The origin's response on the direct way: says what happened, and does to the store what the response demands.
    func passing(_ response: inout ForwardedResponse) {
        let now = self.cache.clock()
        let status = response.head.status
        guard status != .switchingProtocols else { return }
        // A response to HEAD says how long the body would be.
        let length =
            self.request.method == .HEAD
            ? response.head.headers.first(name: "Content-Length").flatMap { Int64($0) } : response.originBody.length
        let arrived = OriginResponse(
            status: status, fields: response.head.headers, bodyLength: length, requestTime: self.requestTime,
            responseTime: now, endIsCertain: self.client.vouchesForEnd(of: response.originBody))
        var storable: StoredResponse?
        if case .direct = self.state, self.request.method == .POST { storable = self.storable(arrived) }
        for key in Invalidation.keys(
            method: self.request.method, status: status, fields: arrived.fields, key: self.key,
            query: self.cache.policy.query)
        {
            self.cache.store.purge(.key(key), .invalidate)
        }
        if self.request.method == .HEAD { self.updateByHEAD(arrived, now: now) }
        let stored: StoredResponse? = storable.flatMap { self.store($0) }
        self.request.rule.responseFields.apply(to: &response.head.headers)
        if let writer = self.cache.status {
            let event = CacheStatus.Event.forwarded(
                self.reason, status: Int(status.code), stored: stored, refusal: self.refusal)
            response.head.headers.add(name: "Cache-Status", value: writer.value(event, now: now))
        }
    }

    private func updateByHEAD(_ response: OriginResponse, now: Int64) {
        for entry in self.cache.store.lookup(self.key) {
            switch self.request.update(entry.response, withHEAD: response) {
            case .unaffected: break
            case .renewed(let renewed), .invalidated(let renewed):
                self.cache.store.update(entry, with: renewed, since: self.generation)
            }
        }
    }

    /// A response to POST that says that it is what GET would bring, and for how long it is fresh (RFC 9110 §9.3.3).
    /// Asked before the store hears of what the request itself makes invalid.
    private func storable(_ response: OriginResponse) -> StoredResponse? {
        let decision = self.request.decideStoring(response, key: self.key, query: self.cache.policy.query)
        guard case .store(let stored, _) = decision,
            self.cache.store.isUntouched(self.key, tags: stored.tags, since: self.generation)
        else { return nil }
        return stored
    }

    private func store(_ stored: StoredResponse) -> StoredResponse? {
        let writer = self.cache.store.soloFill(for: self.key)
        let maximum = Int(clamping: self.request.rule.maximumObjectBytes)
        guard writer.begin(stored, maximumBytes: maximum) == .store else {
            writer.fail(.abandoned)
            return nil
        }
        self.state = .direct(writer)
        return stored
    }

    func passing(_ bytes: ByteBuffer) {
        guard case .direct(let writer?) = self.state else { return }
        switch writer.append(bytes) {
        case .proceed: break
        case .pause, .unwanted:
            // It goes at the client's pace. Where that is too fast for the store, or the body too long, it goes without.
            self.state = .direct(nil)
            writer.fail(.cutOff)
        }
    }

    func passedWhole() {
        guard case .direct(let writer) = self.state else { return }
        self.state = .over
        writer?.finish()
    }
}

/// Wakes what is still there.
private final class WakeTarget {
    weak var exchange: CacheExchange?

    init(_ exchange: CacheExchange) {
        self.exchange = exchange
    }
}
