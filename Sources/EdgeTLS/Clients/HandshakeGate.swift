package import Admission
import EdgeModel
import KeyProtocol
package import Metrics
package import NIOCore
import PeerLink
import Synchronization

/// Who may have a key holder asked for a handshake: so many of one client's network, of a site what its grant allows, and of a
/// key holder what it can answer soon; in fair turns of sites and networks where that is scarce (``Turnstiles``). One for all
/// event loops; a lock at each step of a handshake.
///
/// Metrics: `latchstring_edge_handshakes_turned_away_total{reason}`, `latchstring_edge_handshakes_waiting`,
/// `latchstring_edge_key_requests_window{keyholder}`.
package final class HandshakeGate: Sendable {
    package enum Refusal: String, Error, CaseIterable, Sendable, CustomStringConvertible {
        /// The client's network asks for more than one may have.
        case clientRate = "client-rate"
        /// As many wait as may wait.
        case lineFull = "line-full"
        /// Its turn would not come in time.
        case hopeless = "hopeless"
        /// Its turn did not come in time.
        case waitedInVain = "waited-in-vain"

        package var description: String {
            switch self {
            case .clientRate: "more handshakes than limits.handshakes-per-client allows"
            case .lineFull: "too many handshakes wait for the grant, or for the key holder"
            case .hopeless:
                "so many handshakes wait for the grant, or for the key holder, that this one's turn would come too late"
            case .waitedInVain: "the grant allowed no more in time, or the key holder was too busy"
            }
        }
    }

    /// What a key holder is to be asked for.
    package struct Errand: Sendable {
        package var keyHolder: String
        package var site: String
        package var network: ClientNetwork
        package var urgency: Urgency

        package init(keyHolder: String, site: String, network: ClientNetwork, urgency: Urgency) {
            self.keyHolder = keyHolder
            self.site = site
            self.network = network
            self.urgency = urgency
        }
    }

    package enum Entry: Sendable {
        case pass(KeyPermit)
        case refused(Refusal)
        /// Succeeds when its turn comes; fails with a ``Refusal``. One that does not wait any longer says so with ``leave(_:)``.
        case wait(UInt64, EventLoopFuture<KeyPermit>)

        /// Calls back once, on the event loop that entered: at once, or when the wait is over.
        package func whenDecided(_ goOn: @escaping (Result<KeyPermit, Refusal>) -> Void) {
            switch self {
            case .pass(let permit): goOn(.success(permit))
            case .refused(let refusal): goOn(.failure(refusal))
            case .wait(_, let turn):
                turn.assumeIsolated().whenComplete { result in
                    goOn(result.mapError { $0 as? Refusal ?? .waitedInVain })
                }
            }
        }
    }

    package struct Bounds: Sendable {
        /// Handshakes of one network that key holders are asked for, each second, in the long run.
        package var perClient = 50
        /// The same at once.
        package var burst: Int { self.perClient * 4 }
        /// Handshakes of one network that offer to resume a session, each second: they ask no key holder, and cost this edge as much as
        /// others do. At once: four times as many.
        package var resumptionsPerClient: Int { self.perClient * 4 }
        /// How many wait for one site, and how long.
        package var waiting = 1024
        package var patience = TimeAmount.seconds(3)
        /// How long an answer of a key holder may take, by its name.
        package var deadlines: [String: TimeAmount] = [:]
        package var deadline = TimeAmount.seconds(2)

        package init() {}
    }

    private struct Waiter {
        var errand: Errand
        var promise: EventLoopPromise<KeyPermit>
    }

    private enum Ending {
        case passed(KeyPermit)
        case refused(Refusal)
    }

    /// By reference, so that it is changed where it is.
    private final class Line {
        var turnstiles: Turnstiles<UInt64>
        private let meter: Meter
        private var told: Int?

        init(_ turnstiles: Turnstiles<UInt64>, _ meter: Meter) {
            self.turnstiles = turnstiles
            self.meter = meter
        }

        func tell() {
            guard self.told != self.turnstiles.size else { return }
            self.told = self.turnstiles.size
            self.meter.set(self.turnstiles.size)
        }
    }

    private struct State {
        var bounds: Bounds
        var rates: ClientRates
        var resumptions: ClientRates
        /// By key holder.
        var lines: [String: Line] = [:]
        var waiters: [UInt64: Waiter] = [:]
        /// How many wait, as the metric has it.
        var told: Int?
        var nextWaiter: UInt64 = 0
        /// When the timer fires; nil: it is not set.
        var timer: UInt64?
        /// To be told as soon as the lock is free: who is told may come back at once.
        var ended: [(promise: EventLoopPromise<KeyPermit>, ending: Ending)] = []
    }

    /// Keeps the time for all.
    private let clock: any EventLoop
    private let state: Mutex<State>
    private let refusals: [Refusal: Counter]
    private let waiting: Meter
    private let factory: any MetricsFactory

    package init(
        _ bounds: Bounds, clock: any EventLoop, now: NIODeadline = .now(),
        metrics: any MetricsFactory = MetricsSystem.factory
    ) {
        self.factory = metrics
        self.clock = clock
        self.waiting = Meter(label: "latchstring_edge_handshakes_waiting", factory: metrics)
        self.state = Mutex(
            State(
                bounds: bounds,
                rates: ClientRates(perSecond: bounds.perClient, burst: bounds.burst, now: now.uptimeNanoseconds),
                resumptions: ClientRates(
                    perSecond: bounds.resumptionsPerClient, burst: bounds.resumptionsPerClient * 4,
                    now: now.uptimeNanoseconds)))
        self.refusals = Dictionary(
            uniqueKeysWithValues: Refusal.allCases.map { refusal in
                let label = "latchstring_edge_handshakes_turned_away_total"
                return (refusal, Counter(label: label, dimensions: [("reason", refusal.rawValue)], factory: metrics))
            })
    }

    /// Other bounds. What waits, waits on; a key holder that was asked before keeps its deadline here.
    package func update(_ bounds: Bounds, now: NIODeadline) {
        self.state.withLock { state in
            state.bounds = bounds
            state.rates.setRate(perSecond: bounds.perClient, burst: bounds.burst, now: now.uptimeNanoseconds)
            state.resumptions.setRate(
                perSecond: bounds.resumptionsPerClient, burst: bounds.resumptionsPerClient * 4,
                now: now.uptimeNanoseconds)
        }
    }

    /// What the grant for a site allows, per second; nil if that is not known.
    package func setRate(_ rate: Int?, for site: String, at keyHolder: String, now: NIODeadline) {
        self.update(keyHolder, now) { _, line, now in line.setRate(rate, of: site, now: now) }
    }

    /// The key holder says that the grant is used up.
    package func usedUp(_ site: String, at keyHolder: String, now: NIODeadline) {
        self.update(keyHolder, now) { _, line, now in line.usedUp(site, now: now) }
    }

    /// Whether a client may have one more; it counts.
    package func mayBegin(_ network: ClientNetwork, now: NIODeadline) -> Bool {
        guard !network.isExempt else { return true }
        let may = self.state.withLock { $0.rates.take(network, now: now.uptimeNanoseconds) }
        if !may { self.count(.clientRate) }
        return may
    }

    /// Whether a client may have one more handshake begun here that offers to resume a session; it counts. If it resumes none, its
    /// signature has to pass as others do.
    package func mayResume(_ network: ClientNetwork, now: NIODeadline) -> Bool {
        guard !network.isExempt else { return true }
        let may = self.state.withLock { $0.resumptions.take(network, now: now.uptimeNanoseconds) }
        if !may { self.count(.clientRate) }
        return may
    }

    /// A handshake of a client wants its key holder.
    ///
    /// - Parameter eventLoop: where to call back.
    package func enter(_ errand: Errand, on eventLoop: any EventLoop, now: NIODeadline) -> Entry {
        if errand.urgency == .beginning, !self.mayBegin(errand.network, now: now) { return .refused(.clientRate) }
        return self.update(errand.keyHolder, now) { state, line, now in
            state.nextWaiter += 1
            let id = state.nextWaiter
            switch line.enter(id, for: errand.site, from: errand.network, errand.urgency, now: now) {
            case .pass: return .pass(KeyPermit(errand, of: self, since: now))
            case .turnedAway(let refusal):
                let reason: Refusal = refusal == .full ? .lineFull : .hopeless
                self.count(reason)
                return .refused(reason)
            case .wait: break
            case .waitInPlaceOf(let other): self.end(other, .lineFull, &state)
            }
            let promise = eventLoop.makePromise(of: KeyPermit.self)
            state.waiters[id] = Waiter(errand: errand, promise: promise)
            return .wait(id, promise.futureResult)
        }
    }

    /// The client is gone: it takes no turn. Its future fails.
    package func leave(_ id: UInt64) {
        guard let keyHolder = self.state.withLock({ $0.waiters[id]?.errand.keyHolder }) else { return }
        self.update(keyHolder, .now()) { state, line, _ in
            guard let waiter = state.waiters.removeValue(forKey: id) else { return }
            line.leave(id)
            state.ended.append((waiter.promise, .refused(.waitedInVain)))
        }
    }

    fileprivate func ended(_ permit: KeyPermit, _ outcome: AnswerWindow.Outcome, now: NIODeadline) {
        let taken = now.uptimeNanoseconds - min(permit.since, now.uptimeNanoseconds)
        self.update(permit.errand.keyHolder, now) { _, line, now in
            line.ended(outcome, of: permit.errand.site, after: taken, now: now)
        }
    }

    // MARK: Turns

    /// Does something, lets through who may pass after it, and sets the timer.
    @discardableResult
    private func update<Result: Sendable>(
        _ keyHolder: String, _ now: NIODeadline,
        _ body: (inout State, inout Turnstiles<UInt64>, UInt64) -> Result
    ) -> Result {
        let now = now.uptimeNanoseconds
        let (result, ended) = self.state.withLock {
            state -> (Result, [(promise: EventLoopPromise<KeyPermit>, ending: Ending)]) in
            let line: Line
            if let known = state.lines[keyHolder] {
                line = known
            } else {
                line = self.makeLine(keyHolder, state.bounds)
                state.lines[keyHolder] = line
            }
            let result = body(&state, &line.turnstiles, now)
            self.advance(&state, &line.turnstiles, now)
            line.tell()
            guard !state.ended.isEmpty else { return (result, []) }
            let ended = state.ended
            state.ended = []
            return (result, ended)
        }
        for (promise, ending) in ended {
            switch ending {
            case .passed(let permit): promise.succeed(permit)
            case .refused(let refusal): promise.fail(refusal)
            }
        }
        return result
    }

    private func makeLine(_ keyHolder: String, _ bounds: Bounds) -> Line {
        let deadline = bounds.deadlines[keyHolder] ?? bounds.deadline
        let turnstiles = Turnstiles<UInt64>(
            capacity: bounds.waiting, patience: UInt64(max(0, bounds.patience.nanoseconds)),
            deadline: UInt64(max(1, deadline.nanoseconds)))
        return Line(
            turnstiles,
            Meter(
                label: "latchstring_edge_key_requests_window", dimensions: [("keyholder", keyHolder)],
                factory: self.factory))
    }

    private func advance(_ state: inout State, _ line: inout Turnstiles<UInt64>, _ now: UInt64) {
        defer {
            if state.told != state.waiters.count {
                state.told = state.waiters.count
                self.waiting.set(state.waiters.count)
            }
        }
        guard !state.waiters.isEmpty else { return }
        let (passing, expired) = line.advance(now: now)
        for id in passing {
            guard let waiter = state.waiters.removeValue(forKey: id) else { continue }
            state.ended.append((waiter.promise, .passed(KeyPermit(waiter.errand, of: self, since: now))))
        }
        for id in expired { self.end(id, .waitedInVain, &state) }
        guard let wake = line.wake, wake < state.timer ?? .max else { return }
        state.timer = wake
        self.clock.scheduleTask(deadline: .uptimeNanoseconds(wake)) { self.timerFired(wake) }
    }

    private func timerFired(_ time: UInt64) {
        let keyHolders = self.state.withLock { state in
            if state.timer == time { state.timer = nil }
            return state.waiters.isEmpty ? [] : Array(state.lines.keys)
        }
        for keyHolder in keyHolders { self.update(keyHolder, .now()) { _, _, _ in } }
    }

    private func end(_ id: UInt64, _ refusal: Refusal, _ state: inout State) {
        guard let waiter = state.waiters.removeValue(forKey: id) else { return }
        self.count(refusal)
        state.ended.append((waiter.promise, .refused(refusal)))
    }

    private func count(_ refusal: Refusal) { self.refusals[refusal]?.increment() }
}

/// Room for one request among those that are under way at a key holder. Given back with ``end(_:)`` when there is an answer;
/// one that is dropped without it gives its room back, too.
package final class KeyPermit: Sendable {
    fileprivate let errand: HandshakeGate.Errand
    fileprivate let since: UInt64
    private let gate: HandshakeGate
    private let hasEnded = Atomic<Bool>(false)

    fileprivate init(_ errand: HandshakeGate.Errand, of gate: HandshakeGate, since: UInt64) {
        self.errand = errand
        self.gate = gate
        self.since = since
    }

    deinit { self.end(.void) }

    package func end(_ outcome: AnswerWindow.Outcome, now: NIODeadline = .now()) {
        guard !self.hasEnded.exchange(true, ordering: .relaxed) else { return }
        self.gate.ended(self, outcome, now: now)
    }

    /// The same for whatever came of the request.
    package func end<Value>(_ result: Result<Value, any Error>) { self.end(Self.outcome(result)) }

    private static func outcome<Value>(_ result: Result<Value, any Error>) -> AnswerWindow.Outcome {
        guard case .failure(let error) = result else { return .answered }
        switch error as? LinkFailure {
        case .timedOut: return .late
        case .overloaded, .refused(.overloaded), .refused(.pastDeadline): return .overloaded
        // Any other refusal costs next to nothing: it does not tell what an answer takes.
        default: return .void
        }
    }
}
