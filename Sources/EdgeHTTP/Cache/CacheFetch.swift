import Admission
import CacheStorage
import EdgeModel
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import Logging
import NIOCore

/// One request to the origin on the cache's behalf: carries out what its ``FetchTurn`` decides.
///
/// The origin's violations: what ``ResponseRules`` refuse, and bodies that break off or have another length than
/// announced; nothing is stored then. Silently dropped: what arrives after the end.
final class CacheFetch: OriginReceiver, TimerOwner {
    struct Job {
        var request: CacheRequest
        /// What the client sent.
        var client: CheckedRequest
        var key: CacheKey
        var validating: CachedResponse?
        /// The client's conditions and range go along.
        var asksAsClient = false
        /// The purges that had taken place when `validating` was looked up.
        var generation: UInt64
        /// The purges that had taken place when this was begun: what it brings was asked for before later ones.
        var begun: UInt64
        /// The client's whose share of the origin's connections it uses; nil behind the clients' backs.
        var network: ClientNetwork?
    }

    private var job: Job
    var turn: FetchTurn
    /// The way into the store. One that no other request waits for is made when it is known that something goes there: most that
    /// ask for themselves bring nothing for it.
    private(set) var writer: FillWriter?
    let cache: SiteCache
    let client: OriginClient
    /// The exchange that this was begun for, until one of the two has come to its end.
    private var leader: CacheExchange?
    var origin: OriginExchange? {
        didSet { if let origin { self.leader?.lastOrigin = origin } }
    }
    private var question: OriginRequest?
    private var requestTime: Int64 = 0
    var timer: ProxyTimer?
    var pace: TransferPace
    /// Bytes of the body, if the origin has said how many it sends.
    private(set) var length: Int64?
    private var received: Int64 = 0
    private var whenOver: (() -> Void)?
    /// What was given up; a connection may still be being set up for it.
    private var remainder: OriginExchange?
    /// It lives as long as the origin's response takes, whatever else remembers it.
    private var itself: CacheFetch?
    private(set) var trailers: FieldSection?
    private(set) var failure: OriginFailure?

    init(
        _ job: Job, turn: FetchTurn, writer: FillWriter?, cache: SiteCache, client: OriginClient, leader: CacheExchange?
    ) {
        self.job = job
        self.turn = turn
        self.writer = writer
        self.cache = cache
        self.client = client
        self.leader = leader
        self.pace = TransferPace(client.configuration.pace)
    }

    /// Has a stored response confirmed behind the back of the client that gets it now; if no request does it yet, and there
    /// are not too many such requests.
    ///
    /// - Parameter since: the purges that had taken place when `entry` was looked up.
    static func renew(
        _ entry: CachedResponse, for request: CacheRequest, _ client: CheckedRequest, key: CacheKey, since: UInt64,
        in cache: SiteCache, by origins: OriginClient
    ) {
        let request = request.inBackground()
        let variant = entry.response.variant.key(of: request)
        let flight = cache.store.flight(for: key, variant: variant, now: cache.clock())
        let writer: FillWriter?
        switch flight {
        case .join: return
        case .lead(let leading): writer = leading
        case .alone: writer = nil
        }
        // Now that there is the fill, since later purges find that.
        let generation = cache.store.generation
        guard let entry = cache.store.current(entry, since: since) else { return }
        guard cache.enterUnattended() else { return }
        cache.metrics.revalidatesInBackground()
        let fetch = CacheFetch(
            Job(
                request: request, client: client, key: key, validating: entry, generation: generation,
                begun: generation, network: nil),
            turn: .unattended(now: .now()), writer: writer, cache: cache, client: origins, leader: nil)
        fetch.begin()
    }

    func begin() {
        self.itself = self
        if self.timer == nil {
            let timer = self.client.takeTimer()
            timer.start(self)
            self.timer = timer
        }
        self.requestTime = self.cache.clock()
        let question = self.job.request.originRequest(
            validating: self.job.validating?.response, asClient: self.job.asksAsClient)
        self.question = question
        var edits = OriginRequestEdits()
        // What is fetched is what GET brings.
        if self.job.client.method != .get { edits.method = .get }
        edits.removed = question.removed
        edits.added = question.added
        let origin = self.client.exchange(
            OutboundRequest(self.job.client, edits: edits), network: self.job.network, receiver: self)
        self.origin = origin
        self.pace = TransferPace(self.client.configuration.pace)
        let now = NIODeadline.now()
        self.rearm(now: now)
        origin.begin(now: now)
    }

    /// The client that this was begun for has gone, or has all it wants.
    func leaderLeft() {
        self.leader = nil
        let now = NIODeadline.now()
        let givesUp = self.turn.leaderLeft(
            readers: self.clientCount, takesPlace: { self.cache.enterUnattended() },
            isWanted: { self.isWanted }, now: now)
        if givesUp {
            self.stop()
        } else {
            self.waitOn(now)
        }
    }

    /// Without a client.
    var isWanted: Bool { self.writer?.flow() != .unwanted && self.isWorthwhile }

    /// Clients that read it, or wait for its head.
    private var clientCount: Int { self.writer?.fill.clientCount ?? 0 }

    /// Something goes into the store.
    private func openWriter() -> FillWriter {
        if let writer { return writer }
        let writer = self.cache.store.soloFill(for: self.job.key, since: self.job.begun)
        self.writer = writer
        return writer
    }

    private var isWorthwhile: Bool {
        guard let length else { return true }
        return length - self.received <= max(self.received, FetchTurn.worthwhileRest)
    }

    var isOver: Bool { self.turn.isOver }

    /// Calls `action` when the request to the origin has come to its end.
    ///
    /// - Returns: false if it has already.
    func whenWorkEnds(_ action: @escaping () -> Void) -> Bool {
        if self.isOver { return self.remainder?.whenWorkEnds(action) ?? false }
        self.whenOver = action
        return true
    }

    // MARK: What the origin does

    func originWritabilityChanged() {
        self.rearm(now: .now())
        self.leader?.fetchMoved()
    }

    func originInformational(_ head: ResponseHead) {
        self.rearm(now: .now())
        if case .fetching = self.turn.phase { self.leader?.fetchInformational(head) }
    }

    func originHead(_ head: ResponseHead, framing: BodyFraming, now time: NIODeadline) {
        guard case .fetching = self.turn.phase, let origin = self.origin, let question = self.question else { return }
        self.pace = TransferPace(self.client.configuration.pace)
        self.rearm(now: time)
        let response: CheckedResponse
        do throws(ResponseRefusal) {
            response = try self.cache.responses.judge(
                head, framing: framing, to: self.job.client, closing: self.leader?.exchange.closesBehindAnswer ?? false)
        } catch {
            return self.failed(OriginFailure(.badResponse, error.rawValue))
        }
        origin.connectionPersists = response.originPersists
        self.length = response.originBody.length
        let now = self.cache.clock()
        if head.status == 304, question.validates, let old = self.job.validating {
            self.confirmed(old, by: self.arrived(response, now: now))
        } else {
            self.answered(response, to: question, now: now, at: time)
        }
    }

    private func arrived(_ response: CheckedResponse, now: Int64) -> OriginResponse {
        OriginResponse(
            response, bodyLength: response.originBody.length, requestTime: self.requestTime, responseTime: now,
            endIsCertain: self.client.vouchesForEnd(of: response.originBody))
    }

    private func decide(_ response: CheckedResponse, to question: OriginRequest, now: Int64) -> StoreDecision {
        // Most that are not stored say so themselves, and their fields need not be put together.
        if response.head.omitsOnlyHopFields,
            let refusal = self.job.request.refusal(status: response.status, fields: response.head.fields)
        {
            return .refuse(refusal)
        }
        return self.job.request.decideStoring(
            self.arrived(response, now: now), to: question, key: self.job.key, query: self.cache.policy.query)
    }

    private func answered(
        _ response: CheckedResponse, to question: OriginRequest, now: Int64, at time: NIODeadline
    ) {
        let status = response.status
        let keepsStale =
            if let leader {
                leader.fetchMayUseStale(status: status, now: now)
            } else {
                self.job.validating.map { self.job.request.keeps($0.response, despite: status, now: now) } ?? false
            }
        let decision = keepsStale ? nil : self.decide(response, to: question, now: now)
        var refused: StoreRefusal?
        if case .refuse(let refusal)? = decision { refused = refusal }
        let errand = self.turn.answered(
            keepsStale: keepsStale, refusal: refused,
            isWorthwhile: { self.clientCount > 0 || self.isWorthwhile }, now: time)
        switch errand {
        case .keepsStale:
            // The error is no client's any more. Others that wait have the same stale response.
            self.leader = nil
            self.writer?.fail(.originFailed("status \(status)"))
            self.cache.metrics.fill(.failed)
            self.waitOn(time)
        case .fills:
            guard case .store(let stored, let withheld)? = decision else { return }
            let writer = self.openWriter()
            let plan = writer.begin(
                stored, maximumBytes: Int(clamping: self.job.request.rule.maximumObjectBytes))
            let bound = NIOLoopBound(self, eventLoop: self.client.eventLoop)
            writer.onResume(on: self.client.eventLoop) { bound.value.mayGoOn() }
            self.leader?.fetchBegan(
                stored, from: writer, withheld: withheld, isStored: plan == .store, now: now)
        case .passes(let refusal), .drops(let refusal):
            self.cache.metrics.fill(.notStored)
            self.tellUnshared(refusal, status: status, now: now)
            let origin = self.origin
            self.origin = nil
            if let leader, let origin, errand == .passes(refusal) {
                leader.fetchIsOurs(
                    origin, response, refusal: refusal, wasAskedForAll: question.asksForAll, now: time)
            } else {
                origin?.cancel()
            }
            self.leader = nil
            self.writer?.fail(.abandoned)
            self.finished()
        case .givesUp:
            self.stop()
        case .nothing:
            break
        }
    }

    /// Those who wait go on by themselves.
    private func tellUnshared(_ refusal: StoreRefusal, status: Int, now: Int64) {
        self.writer?.beginUnshared()
        if Collapsing.remembers(refusal, status: status) {
            self.cache.store.markUnshared(self.job.key, until: now + Collapsing.memory)
        }
    }

    private func confirmed(_ old: CachedResponse, by arrived: OriginResponse) {
        let now = arrived.responseTime
        let entry: CachedResponse
        let (response, withheld, refused): (StoredResponse, FieldSection?, StoreRefusal?)
        switch self.job.request.freshen(old.response, with: arrived) {
        case .renewed(let renewed, let fields):
            entry = self.openWriter().validated(old, response: renewed, since: self.job.generation)
            (response, withheld, refused) = (renewed, fields, nil)
        case .onlyOnce(let renewed, let fields, let refusal):
            // Not by a purge of the key: that would hold for other variants, and for fills that know better.
            self.cache.store.remove(old)
            self.tellUnshared(refusal, status: arrived.status, now: now)
            self.writer?.fail(.abandoned)
            entry = old
            (response, withheld, refused) = (renewed, fields, refusal)
        case .mismatch:
            // The origin speaks of something else than what was asked about.
            // A purge of the key would keep this fill's own response out.
            self.cache.store.remove(old)
            self.job.validating = nil
            self.origin?.cancel()
            return self.begin()
        }
        guard self.turn.confirmed(now: .now()) else { return }
        let leader = self.leader
        self.leader = nil
        self.waitOn(.now())
        leader?.fetchValidated(entry, as: response, withheld: withheld, refusal: refused, now: now)
    }

    func originBody(_ bytes: ByteBuffer, now: NIODeadline) {
        guard case .filling = self.turn.phase, let writer else { return }
        self.received += Int64(bytes.readableBytes)
        self.rearm(moved: bytes.readableBytes, now: now)
        self.obey(writer.append(bytes))
    }

    /// A reader has come nearer, or has left.
    func mayGoOn() {
        if self.turn.isPaused, let writer { self.obey(writer.flow()) }
    }

    private func obey(_ flow: FillFlow) {
        switch self.turn.flow(FetchTurn.Flow(flow)) {
        case .nothing: break
        case .pause:
            self.pace.rests(now: .now())
            self.origin?.pause()
            self.timer?.move(to: self.turn.deadline(pausedAt: .now()))
        case .resume:
            self.rearm(now: .now())
            self.origin?.resume()
        case .giveUp: self.stop()
        }
    }

    func originReadComplete() { self.tellLeader() }

    /// The leader is on this event loop: it looks for itself, and needs no wake-up.
    func tellLeader() { self.leader?.fetchHasMore() }

    func originEnd(_ trailers: FieldSection?) {
        switch self.turn.ended() {
        case .premature:
            self.failed(OriginFailure(.badResponse, "end before the head"))
        case .finish:
            self.trailers = TrailerFields.forwarded(trailers)
            switch self.writer?.finish() {
            case .stored: self.cache.metrics.fill(.stored)
            case .notStored, nil: self.cache.metrics.fill(.notStored)
            case .failed: self.cache.metrics.fill(.failed)
            }
            self.finished()
            self.tellLeader()
        case .done:
            self.finished()
        case .nothing:
            break
        }
    }

    func originFailed(_ failure: OriginFailure) {
        self.failed(failure)
    }

    func failed(_ failure: OriginFailure) {
        self.client.standing.failed(failure.cause)
        switch self.turn.failed() {
        case .unanswered:
            self.failure = failure
            self.origin?.cancel()
            let leader = self.leader
            self.leader = nil
            self.writer?.fail(.originFailed(failure.cause.rawValue))
            self.cache.metrics.fill(.failed)
            if let leader, !leader.fetchMayUseStale(status: nil, now: self.cache.clock()) {
                leader.fetchFailed(failure)
            } else {
                self.logged(failure)
            }
            self.finished()
        case .truncated:
            self.failure = failure
            self.origin?.cancel()
            self.writer?.fail(.originFailed(failure.cause.rawValue))
            self.cache.metrics.fill(.failed)
            self.finished()
            self.tellLeader()
        case .done:
            self.origin?.cancel()
            self.finished()
        case .nothing:
            break
        }
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

    /// The turn is over: there is no use for what still comes.
    func stop() {
        self.writer?.fail(.originFailed("there is no reader any more"))
        self.origin?.cancel()
        self.finished()
    }

    func finished() {
        if let timer { self.client.giveBack(timer) }
        self.timer = nil
        self.remainder = self.origin
        self.origin = nil
        let whenOver = self.whenOver
        self.whenOver = nil
        if let whenOver, self.remainder?.whenWorkEnds(whenOver) != true { whenOver() }
        if self.turn.givesPlaceBack() { self.cache.leaveUnattended() }
        self.itself = nil
    }
}

extension FetchTurn.Flow {
    fileprivate init(_ flow: FillFlow) {
        switch flow {
        case .proceed: self = .proceed
        case .pause: self = .pause
        case .unwanted: self = .unwanted
        }
    }
}
