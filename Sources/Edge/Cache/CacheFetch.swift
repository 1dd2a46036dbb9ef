import Admission
import CacheStorage
import HTTPCaching
import HTTPForwarding
import Logging
import NIOCore
import NIOHTTP1

/// One request to the origin on the cache's behalf: fetches a response into the store, or has a stored one confirmed.
///
/// It belongs to the request that led to it, its leader, yet not only to it: others may read what comes, and a leader that
/// leaves doesn't end it, within bounds. Without a leader it runs behind a client's back (`stale-while-revalidate`).
///
/// The origin's violations: what ``ResponseForwarding`` refuses, and bodies that break off or have another length than
/// announced; nothing is stored then. Silently dropped: what arrives after the end.
final class CacheFetch: OriginReceiver {
    struct Job {
        var request: CacheRequest
        /// As the client's request would go to the origin.
        var forwarded: ForwardedRequest
        var key: CacheKey
        var validating: CachedResponse?
        /// The purges that had taken place when `validating` was looked up.
        var generation: UInt64
        /// The client's whose share of the origin's connections it uses; nil behind the clients' backs.
        var network: ClientNetwork?
        /// Others may wait for it.
        var isShared: Bool
    }

    enum State {
        case fetching
        /// The body goes into the store.
        case filling
        /// The response has done its work; only its end is awaited, so that the connection can be used again.
        case draining
        case over
    }

    private var job: Job
    var writer: FillWriter
    let cache: SiteCache
    let client: OriginClient
    private weak var leader: CacheExchange?
    private var isUnattended = false
    var state = State.fetching
    var origin: OriginExchange?
    private var question: OriginRequest?
    private var requestTime: Int64 = 0
    var timer: ProxyTimer?
    var pace: TransferPace
    /// The origin has said how much it sends.
    var lengthIsKnown = false
    private var whenOver: (() -> Void)?
    /// What was given up; a connection may still be being set up for it.
    private var remainder: OriginExchange?
    var isPaused = false
    /// When to stop, whatever still comes, if nobody reads it.
    var giveUpAt = NIODeadline.distantFuture
    /// It lives as long as the origin's response takes, whoever else remembers it.
    private var itself: CacheFetch?
    private(set) var trailers: HTTPHeaders?
    private(set) var failure: OriginFailure?

    /// How long a fetch may go on for nobody but the store.
    static let unattendedTime = TimeAmount.seconds(60)
    /// How long readers that hold up others are waited for.
    static let patience = TimeAmount.seconds(5)

    init(_ job: Job, writer: FillWriter, cache: SiteCache, client: OriginClient, leader: CacheExchange?) {
        self.job = job
        self.writer = writer
        self.cache = cache
        self.client = client
        self.leader = leader
        self.pace = TransferPace(client.configuration.pace)
    }

    /// Has a stored response confirmed behind the back of the client that gets it now; if nobody does it yet, and there
    /// are not too many such requests.
    static func revalidate(_ entry: CachedResponse, for exchange: CacheExchange, client: OriginClient) {
        let cache = exchange.cache
        let request = exchange.request.inBackground()
        let variant = SiteCache.flightVariant(of: request, selectors: entry.response.variant.selectors)
        let flight = cache.store.flight(for: exchange.key, variant: variant, now: cache.clock())
        let writer: FillWriter
        switch flight {
        case .join: return
        case .lead(let leading): writer = leading
        case .alone: writer = cache.store.soloFill(for: exchange.key)
        }
        // Now that there is the fill, since later purges find that.
        let generation = cache.store.generation
        guard let entry = cache.store.current(entry, since: exchange.generation) else { return }
        guard cache.enterUnattended() else { return }
        cache.metrics.revalidatesInBackground()
        var forwarded = exchange.forwarded
        forwarded.head.method = .GET
        forwarded.head.headers = request.fields
        forwarded.clientPersists = true
        let fetch = CacheFetch(
            Job(
                request: request, forwarded: forwarded, key: exchange.key, validating: entry,
                generation: generation, network: nil, isShared: true),
            writer: writer, cache: cache, client: client, leader: nil)
        fetch.isUnattended = true
        fetch.giveUpAt = .now() + Self.unattendedTime
        fetch.begin()
    }

    func begin() {
        self.itself = self
        if self.timer == nil {
            self.timer = ProxyTimer(eventLoop: self.client.eventLoop) { [weak self] in self?.timedOut() }
        }
        self.requestTime = self.cache.clock()
        let question = self.job.request.originRequest(validating: self.job.validating?.response)
        self.question = question
        var head = self.job.forwarded.head
        question.apply(to: &head.headers)
        let origin = self.client.exchange(head, hasBody: false, network: self.job.network, receiver: self)
        self.origin = origin
        self.pace = TransferPace(self.client.configuration.pace)
        self.rearm()
        origin.begin()
    }

    /// The client that this was begun for has gone, or has all it wants.
    func leaderLeft() {
        self.leader = nil
        guard !self.isUnattended else { return }
        switch self.state {
        case .draining, .over: return
        case .fetching, .filling: break
        }
        guard self.cache.enterUnattended() else { return self.giveUp() }
        self.isUnattended = true
        self.giveUpAt = .now() + Self.unattendedTime
        if case .filling = self.state, self.writer.flow() == .unwanted { return self.giveUp() }
        self.waitOn(.now())
    }

    var isOver: Bool {
        if case .over = self.state { return true }
        return false
    }

    /// Calls `action` when the request to the origin has come to its end.
    ///
    /// - Returns: false if it has already.
    func whenWorkEnds(_ action: @escaping () -> Void) -> Bool {
        if self.isOver { return self.remainder?.whenWorkEnds(action) ?? false }
        self.whenOver = action
        return true
    }

    func giveUp() {
        guard self.endWriting() else { return }
        self.writer.fail(.originFailed("nobody waits for it any more"))
        self.origin?.cancel()
        self.finished()
    }

    // MARK: What the origin does

    func originWritabilityChanged() {
        self.rearm()
        self.leader?.fetchMoved()
    }

    func originInformational(_ head: HTTPResponseHead) {
        self.rearm()
        if case .fetching = self.state { self.leader?.fetchInformational(head) }
    }

    func originHead(_ head: HTTPResponseHead) {
        guard case .fetching = self.state, let origin = self.origin, let question = self.question else { return }
        self.pace = TransferPace(self.client.configuration.pace)
        self.rearm()
        switch self.cache.responses.decide(head, to: self.job.forwarded, closing: false) {
        case .failure(let refusal):
            self.failed(OriginFailure(.badResponse, refusal.rawValue))
        case .success(let response):
            origin.connectionPersists = response.originPersists
            self.lengthIsKnown = response.originBody.length != nil
            let arrived = OriginResponse(
                status: head.status, fields: response.head.headers, bodyLength: response.originBody.length,
                requestTime: self.requestTime, responseTime: self.cache.clock(),
                endIsCertain: self.client.vouchesForEnd(of: response.originBody))
            if head.status == .notModified, question.validates, let old = self.job.validating {
                self.confirmed(old, by: arrived)
            } else {
                self.answered(arrived, head, to: question)
            }
        }
    }

    private func answered(_ arrived: OriginResponse, _ head: HTTPResponseHead, to question: OriginRequest) {
        let now = arrived.responseTime
        if let leader, leader.fetchMayUseStale(status: Int(head.status.code), now: now) {
            self.leader = nil
            // The error is nobody's any more. Others that wait have the same stale response.
            self.writer.fail(.originFailed("status \(head.status.code)"))
            self.cache.metrics.fill(.failed)
            return self.drain()
        }
        if self.leader == nil, let old = self.job.validating,
            self.job.request.keeps(old.response, despite: Int(head.status.code), now: now)
        {
            self.writer.fail(.originFailed("status \(head.status.code)"))
            self.cache.metrics.fill(.failed)
            return self.drain()
        }
        let decision = self.job.request.decideStoring(
            arrived, to: question, key: self.job.key, query: self.cache.policy.query)
        switch decision {
        case .store(let stored, let withheld):
            let plan = self.writer.begin(
                stored, maximumBytes: Int(clamping: self.job.request.rule.maximumObjectBytes))
            self.state = .filling
            let bound = NIOLoopBound(self, eventLoop: self.client.eventLoop)
            self.writer.onResume(on: self.client.eventLoop) { bound.value.mayGoOn() }
            self.leader?.fetchBegan(stored, withheld: withheld, isStored: plan == .store, now: now)
        case .refuse(let refusal):
            self.cache.metrics.fill(.notStored)
            self.isOurs(arrived, head, refusal: refusal)
        }
    }

    /// The response is for the leader alone.
    private func isOurs(_ arrived: OriginResponse, _ head: HTTPResponseHead, refusal: StoreRefusal) {
        self.tellUnshared(arrived, refusal)
        let origin = self.origin
        self.origin = nil
        self.state = .over
        if let leader, let origin {
            leader.fetchIsOurs(origin, head, refusal: refusal)
        } else {
            origin?.cancel()
        }
        self.writer.fail(.abandoned)
        self.finished()
    }

    /// Those who wait go on by themselves.
    private func tellUnshared(_ arrived: OriginResponse, _ refusal: StoreRefusal) {
        self.writer.beginUnshared(
            StoredResponse(
                status: arrived.status, fields: [:], requestTime: arrived.requestTime,
                responseTime: arrived.responseTime, variant: .invariant, extent: .complete(length: nil),
                freshness: Freshness(initialAge: 0, lifetime: 0, source: .none), tags: []))
        // An error says nothing about later responses, and what a request forbids says nothing about other requests.
        switch refusal {
        case .authorization, .requestNoStore, .bypass: return
        default: break
        }
        if self.job.isShared, arrived.status.code < 500 {
            self.cache.store.markUnshared(self.job.key, until: arrived.responseTime + Collapsing.memory)
        }
    }

    private func confirmed(_ old: CachedResponse, by arrived: OriginResponse) {
        let now = arrived.responseTime
        switch self.job.request.freshen(old.response, with: arrived) {
        case .renewed(let renewed, let withheld):
            let entry = self.writer.validated(old, response: renewed, since: self.job.generation)
            let leader = self.leader
            self.drain()
            leader?.fetchValidated(entry, as: renewed, withheld: withheld, refusal: nil, now: now)
        case .onlyOnce(let renewed, let withheld, let refusal):
            // Not by a purge of the key: that would hold for other variants, and for fills that know better.
            self.cache.store.remove(old)
            self.tellUnshared(arrived, refusal)
            self.writer.fail(.abandoned)
            let leader = self.leader
            self.drain()
            leader?.fetchValidated(old, as: renewed, withheld: withheld, refusal: refusal, now: now)
        case .mismatch:
            // The origin speaks of something else than what was asked about.
            // A purge of the key would keep this fill's own response out.
            self.cache.store.remove(old)
            self.job.validating = nil
            self.origin?.cancel()
            self.begin()
        }
    }

    func originBody(_ bytes: ByteBuffer) {
        guard case .filling = self.state else { return }
        self.rearm(moved: bytes.readableBytes)
        self.obey(self.writer.append(bytes))
    }

    private func obey(_ flow: FillFlow) {
        switch flow {
        case .proceed: break
        case .pause:
            self.isPaused = true
            self.pace.rests(now: .now())
            self.origin?.pause()
            self.timer?.move(to: .now() + Self.patience)
        case .unwanted: self.giveUp()
        }
    }

    func mayGoOn() {
        guard case .filling = self.state, self.isPaused else { return }
        switch self.writer.flow() {
        case .pause: return
        case .unwanted: self.giveUp()
        case .proceed:
            self.isPaused = false
            self.rearm()
            self.origin?.resume()
        }
    }

    func originReadComplete() {}

    func originEnd(_ trailers: HTTPHeaders?) {
        switch self.state {
        case .fetching:
            self.failed(OriginFailure(.badResponse, "end before the head"))
        case .filling:
            self.state = .over
            self.trailers = TrailerFields.forwarded(trailers)
            switch self.writer.finish() {
            case .stored: self.cache.metrics.fill(.stored)
            case .notStored: self.cache.metrics.fill(.notStored)
            case .failed: self.cache.metrics.fill(.failed)
            }
            self.finished()
        case .draining:
            self.state = .over
            self.finished()
        case .over:
            break
        }
    }

    func originFailed(_ failure: OriginFailure) {
        self.failed(failure)
    }

    func failed(_ failure: OriginFailure) {
        switch self.state {
        case .fetching:
            self.state = .over
            self.failure = failure
            self.origin?.cancel()
            let leader = self.leader
            self.leader = nil
            self.writer.fail(.originFailed(failure.cause.rawValue))
            self.cache.metrics.fill(.failed)
            if let leader, !leader.fetchMayUseStale(status: nil, now: self.cache.clock()) {
                leader.fetchFailed(failure)
            } else {
                self.logged(failure)
            }
        case .filling:
            self.state = .over
            self.failure = failure
            self.origin?.cancel()
            self.writer.fail(.originFailed(failure.cause.rawValue))
            self.cache.metrics.fill(.failed)
        case .draining, .over:
            self.state = .over
            self.origin?.cancel()
        }
        self.finished()
    }

    /// No client hears of it, so the log does.
    private func logged(_ failure: OriginFailure) {
        let level: Logger.Level = self.client.isNews(failure.cause, now: .now()) ? .warning : .debug
        self.cache.logger.log(
            level: level, "origin failed",
            metadata: [
                "site": "\(self.cache.site)", "address": "\(self.client.configuration.text)",
                "reason": "\(failure.cause.rawValue)", "error": "\(failure.detail)", "answer": "stale",
            ])
    }

    // MARK: Ends

    /// Nothing more is wanted of this response but its end.
    private func drain() {
        self.state = .draining
        self.leader = nil
        self.giveUpAt = .now() + Self.patience
        self.waitOn(.now())
    }

    private func endWriting() -> Bool {
        switch self.state {
        case .fetching, .filling:
            self.state = .over
            return true
        case .draining, .over:
            return false
        }
    }

    func finished() {
        self.state = .over
        self.timer?.cancel()
        self.timer = nil
        self.remainder = self.origin
        self.origin = nil
        let whenOver = self.whenOver
        self.whenOver = nil
        if let whenOver, self.remainder?.whenWorkEnds(whenOver) != true { whenOver() }
        if self.isUnattended {
            self.isUnattended = false
            self.cache.leaveUnattended()
        }
        self.itself = nil
    }
}
