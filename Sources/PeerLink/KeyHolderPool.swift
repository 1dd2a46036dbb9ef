import DequeModule
public import KeyProtocol
public import Logging
import Metrics
public import NIOCore
public import NIOSSL

/// The key holders of one name, as one event loop sees them: requests go to the one that answers fastest, move to
/// another when it fails, and end at their deadline at the latest.
///
/// Bound to its event loop: every call and every answer happens there, without locks or hops.
public final class KeyHolderPool {
    public struct Configuration: Sendable {
        /// Who each address must prove to be.
        public var expected: PeerIdentity
        public var addresses: [PeerAddress]
        /// Key holders that connect to this edge by themselves; each counts as an address, behind those above.
        public var dialledBy: [PeerIdentity] = []
        /// From the call to the answer, fail-over included.
        public var deadline: TimeAmount
        /// For TCP and TLS together.
        public var connectTimeout: TimeAmount
        /// Between two probes of a key holder that answers.
        public var probeInterval: TimeAmount
        /// Requests under way on one connection.
        public var inFlightLimit: Int
        /// Requests that wait for a key holder to come back.
        public var waiterLimit: Int
        /// Of how many signatures, as a share, a second address is asked as well when the first one takes long; 0: of none.
        public var hedge: Double

        /// Defaults: deadline 2 s, connect 2 s, probes every 5 s, 4,096 requests under way, 4,096 waiting, 5 % hedged.
        public init(expected: PeerIdentity, addresses: [PeerAddress]) {
            self.expected = expected
            self.addresses = addresses
            self.deadline = .seconds(2)
            self.connectTimeout = .seconds(2)
            self.probeInterval = .seconds(5)
            self.inFlightLimit = 4096
            self.waiterLimit = 4096
            self.hedge = 0.05
        }
    }

    /// An answer, and the connection that it came over.
    typealias Completion = (Result<(message: KeyMessage, connection: PinnedConnection), LinkFailure>) -> Void

    /// One connection to one key holder: what a pinned request must go over, or not at all.
    struct PinnedConnection {
        let index: Int
        let handler: LinkHandler
    }

    public let configuration: Configuration
    public let eventLoop: any EventLoop
    private(set) var links: [KeyHolderLink] = []
    var selection: HolderSelection
    var plan: HedgePlan
    /// Of several key holders: requests in the order in which they were sent, and those of them that have waited for longer than usual.
    var watched: Deque<Request> = []
    var overdue: [Request] = []
    var watchTimer: Scheduled<Void>?
    let hedges: (won: Counter, lost: Counter)
    let health: AddressHealthReport
    private var waiters: Deque<Request> = []
    private var waiterTimer: Scheduled<Void>?
    private(set) var stopped = false
    private var readyCallbacks: [() -> Void] = []
    private var leaseCallbacks: [(Int, LeaseNews) -> Void] = []

    private let answered: Counter
    private let failed: Counter
    private let latency: Metrics.Timer
    /// Connected links of all event loops together.
    private let up: Meter

    /// - Parameter intake: where key holders connect; needed if any is to.
    public init(
        configuration: Configuration, tls: NIOSSLContext, intake: LinkIntake? = nil, eventLoop: any EventLoop,
        logger: Logger
    ) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.selection = HolderSelection(count: configuration.endCount)
        self.plan = HedgePlan(share: configuration.endCount > 1 ? configuration.hedge : 0)
        let name = configuration.expected.name
        self.health = AddressHealthReport(keyHolder: name, ends: configuration.ends)
        func hedges(_ outcome: String) -> Counter {
            Counter(label: "latchstring_key_hedges_total", dimensions: [("keyholder", name), ("outcome", outcome)])
        }
        self.hedges = (won: hedges("won"), lost: hedges("lost"))
        self.answered = Counter(
            label: "latchstring_key_requests_total", dimensions: [("keyholder", name), ("outcome", "answered")])
        self.failed = Counter(
            label: "latchstring_key_requests_total", dimensions: [("keyholder", name), ("outcome", "failed")])
        self.latency = Metrics.Timer(label: "latchstring_key_request_seconds", dimensions: [("keyholder", name)])
        self.up = Meter(label: "latchstring_key_links_ready", dimensions: [("keyholder", name)])
        for (index, end) in configuration.ends.enumerated() {
            self.links.append(
                KeyHolderLink(
                    end: end, configuration: configuration, tls: tls, intake: intake, loop: eventLoop, logger: logger,
                    events: .init(
                        ready: { [weak self] in self?.becameReady(index) },
                        down: { [weak self] in self?.wentDown(index) },
                        lease: { [weak self] in self?.heard($0, from: index) },
                        probeAnswered: { [weak self] in self?.probeAnswered(index, after: $0) },
                        probeMissed: { [weak self] in self?.suspected(index) })))
        }
    }

    public func start() {
        self.eventLoop.preconditionInEventLoop()
        for link in self.links { link.start() }
    }

    /// Closes every connection; requests under way fail.
    public func stop() {
        self.eventLoop.preconditionInEventLoop()
        guard !self.stopped else { return }
        self.stopped = true
        for link in self.links {
            if link.connection != nil { self.up.decrement() }
            link.stop()
        }
        self.waiterTimer?.cancel()
        self.watchTimer?.cancel()
        self.watched.removeAll()
        self.overdue.removeAll()
        self.health.stop()
        for request in self.waiters { self.fail(request, .notConnected) }
        self.waiters.removeAll()
    }

    /// Calls back whenever a key holder becomes ready: connected, and with a lease for this edge.
    public func onReady(_ callback: @escaping () -> Void) { self.readyCallbacks.append(callback) }

    /// Calls back whenever an address of the key holder has news of this edge's lease; addresses are counted from 0, in the
    /// configuration's order.
    public func onLease(_ callback: @escaping (_ address: Int, LeaseNews) -> Void) {
        self.leaseCallbacks.append(callback)
    }

    /// Sends a request to the key holder that answers fastest.
    ///
    /// A request that may be repeated safely is asked of another key holder, while time remains, if the first one went
    /// silent or away, or refused for reasons that may be its own. All of the key protocol may, but those that go on with a
    /// handshake: see ``HandshakeLink``.
    ///
    /// - Parameters:
    ///   - excluded: addresses that are not asked, counted from 0.
    ///   - preferred: addresses that are asked before others; nil: all.
    ///   - isSignature: whether another key holder may be asked before this one has failed.
    /// - Returns: the answer, or a ``LinkFailure``, at the deadline at the latest.
    public func request(
        _ message: KeyMessage, excluding excluded: Set<Int> = [], preferring preferred: Set<Int>? = nil,
        isSignature: Bool = false
    ) -> EventLoopFuture<KeyMessage> {
        let promise = self.eventLoop.makePromise(of: KeyMessage.self)
        self.request(message, excluding: excluded, preferring: preferred, isSignature: isSignature) { result in
            switch result {
            case .success(let answer): promise.succeed(answer.message)
            case .failure(let failure): promise.fail(failure)
            }
        }
        return promise.futureResult
    }

    /// The same, for a caller who must know which connection the answer came over.
    ///
    /// - Parameter late: told of every answer that came too late to be the request's.
    func request(
        _ message: KeyMessage, excluding excluded: Set<Int>, preferring preferred: Set<Int>? = nil,
        isSignature: Bool = false, late: LinkHandler.LateWaiter? = nil, completion: @escaping Completion
    ) {
        self.eventLoop.preconditionInEventLoop()
        if isSignature { self.plan.began() }
        self.attempt(
            Request(
                message: message, excluding: excluded, preferring: preferred, isSignature: isSignature,
                deadline: .now() + self.configuration.deadline, late: late, completion: completion))
    }

    /// Addresses that are connected, counted from 0.
    var connectedAddresses: [Int] { self.links.indices.filter { self.links[$0].connection != nil } }

    /// Asks one address of the key holder and no other.
    func request(_ message: KeyMessage, at index: Int) -> EventLoopFuture<KeyMessage> {
        guard let handler = self.links[index].connection else {
            self.failed.increment()
            return self.eventLoop.makeFailedFuture(LinkFailure.notConnected)
        }
        return self.request(message, over: PinnedConnection(index: index, handler: handler))
    }

    /// Sends a request over this connection and no other: it is never repeated, and fails at once if the connection has
    /// ended. Requests over one connection arrive in the order of the calls.
    func request(
        _ message: KeyMessage, over connection: PinnedConnection, late: LinkHandler.LateWaiter? = nil
    ) -> EventLoopFuture<KeyMessage> {
        self.eventLoop.preconditionInEventLoop()
        let promise = self.eventLoop.makePromise(of: KeyMessage.self)
        guard !self.stopped, connection.handler.isUp else {
            self.failed.increment()
            promise.fail(LinkFailure.lost("the connection on which it had to be asked is gone"))
            return promise.futureResult
        }
        let index = connection.index
        self.selection.sent(index, now: Self.now)
        let deadline = NIODeadline.now() + self.configuration.deadline
        connection.handler.send(message, deadline: deadline, late: late) { result, nanoseconds in
            self.account(for: result, at: index, after: nanoseconds)
            switch result {
            case .success(let answer):
                promise.succeed(answer)
            case .failure(let failure):
                self.failed.increment()
                promise.fail(failure)
            }
        }
        return promise.futureResult
    }

    // MARK: One request's way

    static var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds) }

    private func attempt(_ request: Request) {
        guard !self.stopped else { return self.fail(request, .notConnected) }
        guard let index = self.other(for: request) else { return self.wait(request) }
        self.send(request, to: index, asHedge: false)
        self.watch(request)
    }

    /// Asks this key holder, whatever other is asked.
    func send(_ request: Request, to index: Int, asHedge: Bool) {
        request.tried.insert(index)
        let now = NIODeadline.now()
        // If another key holder could be asked, be it down just now, this one gets half of the remaining time.
        let hasAnother = self.links.indices.contains {
            !request.tried.contains($0) && !request.excluded.contains($0)
        }
        let limit =
            hasAnother ? now + .nanoseconds((request.deadline - now).nanoseconds / 2) : request.deadline
        let sentAt = Int64(now.uptimeNanoseconds)
        self.selection.sent(index, now: sentAt)
        guard let handler = self.links[index].connection else {
            return self.finish(request, at: index, over: nil, result: .failure(.notConnected), after: 0)
        }
        var message = request.message
        message.isHedge = asHedge
        let id = handler.send(message, deadline: limit, late: request.late) { result, nanoseconds in
            self.finish(request, at: index, over: handler, result: result, after: nanoseconds)
        }
        guard let id else { return }
        request.attempts.append(
            Request.Attempt(index: index, handler: handler, id: id, sentAt: sentAt, isHedge: asHedge))
    }

    private func finish(
        _ request: Request, at index: Int, over handler: LinkHandler?, result: Result<KeyMessage, LinkFailure>,
        after nanoseconds: Int64
    ) {
        self.account(for: result, at: index, after: nanoseconds)
        let wasHedge = request.attempts.first { $0.index == index }?.isHedge ?? false
        request.attempts.removeAll { $0.index == index }
        switch result {
        case .success(let answer):
            guard let handler else { return self.fail(request, .notConnected) }
            self.plan.answered(after: nanoseconds, isSignature: request.isSignature)
            if request.wasHedged { (wasHedge ? self.hedges.won : self.hedges.lost).increment() }
            self.end(request)
            request.completion(.success((answer, PinnedConnection(index: index, handler: handler))))
        case .failure(.refused(let code)):
            switch code {
            // Another key holder may have room, a rate of its own, a grant or a certificate that this one does not have.
            case .internalError, .overloaded, .rateLimited, .pastDeadline, .noGrant, .keyNotFound, .certificateNotFound:
                self.retry(request, after: .refused(code))
            default:
                self.fail(request, .refused(code))
            }
        case .failure(let failure):
            self.retry(request, after: failure)
        }
    }

    /// What an answer, or its absence, says about the key holder.
    private func account(for result: Result<KeyMessage, LinkFailure>, at index: Int, after nanoseconds: Int64) {
        switch result {
        case .success:
            self.selection.answered(index, after: nanoseconds, now: Self.now)
            self.answered.increment()
            self.latency.recordNanoseconds(nanoseconds)
        case .failure(.refused(let code)):
            switch code {
            case .overloaded, .rateLimited, .pastDeadline:
                self.selection.declined(index, now: Self.now)
                self.plan.refused(now: Self.now)
            case .internalError: self.selection.failed(index, now: Self.now)
            default: self.selection.declined(index, now: Self.now)
            }
        case .failure(.timedOut):
            self.selection.timedOut(index)
            self.links[index].probeNow()
            self.tellHealth()
        case .failure:
            self.selection.dropped(index)
        }
    }

    func retry(_ request: Request, after failure: LinkFailure) {
        request.lastFailure = failure
        // Another key holder is at work on it.
        guard request.attempts.isEmpty else { return }
        if NIODeadline.now() >= request.deadline { return self.fail(request, failure) }
        if case .lost = failure { request.tried.removeAll() }
        switch failure {
        case .refused, .overloaded: if self.other(for: request) == nil { return self.fail(request, failure) }
        default: break
        }
        self.attempt(request)
    }

    /// The key holder to ask next.
    func other(for request: Request) -> Int? {
        let now = Self.now
        if let preferred = request.preferred,
            let index = self.selection.choose(
                now: now, excluding: { request.isOut($0) || !preferred.contains($0) })
        {
            return index
        }
        return self.selection.choose(now: now, excluding: request.isOut)
    }

    /// It is answered, or never will be: nothing that is under way for it is wanted any more.
    private func end(_ request: Request) {
        request.isDone = true
        for attempt in request.attempts { self.cancel(attempt) }
        request.attempts.removeAll()
    }

    private func fail(_ request: Request, _ failure: LinkFailure) {
        self.failed.increment()
        self.end(request)
        request.completion(.failure(failure))
    }

    // MARK: Waiting for a key holder to come back

    private func wait(_ request: Request) {
        guard self.waiters.count < self.configuration.waiterLimit else { return self.fail(request, .overloaded) }
        self.waiters.append(request)
        self.armWaiterTimer()
    }

    /// All requests have the same time limit, so those that wait are nearly in order; the timer looks at all of them.
    private func armWaiterTimer() {
        guard self.waiterTimer == nil, let first = self.waiters.map(\.deadline).min() else { return }
        self.waiterTimer = self.eventLoop.assumeIsolated().scheduleTask(deadline: first) {
            self.waiterTimer = nil
            let now = NIODeadline.now()
            let expired = self.waiters.filter { $0.deadline <= now }
            self.waiters.removeAll { $0.deadline <= now }
            for request in expired { self.fail(request, request.lastFailure ?? .notConnected) }
            self.armWaiterTimer()
        }
    }

    private func resumeWaiters() {
        let waiting = self.waiters
        self.waiters.removeAll()
        for request in waiting {
            request.tried.removeAll()
            self.attempt(request)
        }
    }

    // MARK: Link events

    private func becameReady(_ index: Int) {
        self.selection.connected(index)
        self.up.increment()
        self.tellHealth()
        self.resumeWaiters()
        for callback in self.readyCallbacks { callback() }
    }

    private func wentDown(_ index: Int) {
        self.selection.disconnected(index)
        self.up.decrement()
        self.tellHealth()
        self.heard(.disconnected, from: index)
    }

    private func heard(_ news: LeaseNews, from index: Int) {
        for callback in self.leaseCallbacks { callback(index, news) }
    }

    private func probeAnswered(_ index: Int, after nanoseconds: Int64) {
        self.selection.probed(index, after: nanoseconds, now: Self.now)
        self.tellHealth()
        if !self.waiters.isEmpty { self.resumeWaiters() }
    }
}
