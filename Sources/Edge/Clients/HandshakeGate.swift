import Admission
import EdgeModel
import Metrics
import NIOCore
import Synchronization

/// Who may have a key holder asked for a handshake: so many of one client's network, and of a site what its grant allows, in
/// fair turns of the networks where that is scarce. One for all event loops; a lock for each handshake.
///
/// What goes on with a handshake that a key holder has begun does not pass here, so it never waits behind new ones.
///
/// Metrics: `latchstring_edge_handshakes_turned_away_total{reason}`, `latchstring_edge_handshakes_waiting{site}`.
final class HandshakeGate: Sendable {
    enum Refusal: String, Error, CaseIterable, Sendable, CustomStringConvertible {
        /// The client's network asks for more than one may have.
        case clientRate = "client-rate"
        /// As many wait as may wait.
        case lineFull = "line-full"
        /// The grant allowed no more in time.
        case waitedInVain = "waited-in-vain"

        var description: String {
            switch self {
            case .clientRate: "more handshakes than limits.handshakes-per-client allows"
            case .lineFull: "the grant is used up, and too many handshakes wait"
            case .waitedInVain: "the grant is used up, and allowed no more in time"
            }
        }
    }

    enum Entry: Sendable {
        case pass
        case refused(Refusal)
        /// Succeeds when its turn comes; fails with a ``Refusal``. One that does not wait any longer says so with ``leave(_:)``.
        case wait(UInt64, EventLoopFuture<Void>)
    }

    struct Bounds: Sendable {
        /// Handshakes of one network that key holders are asked for, each second, in the long run.
        var perClient = 50
        /// The same at once.
        var burst: Int { self.perClient * 4 }
        /// How many wait for a site's grant, and how long.
        var waiting = 1024
        var patience = TimeAmount.seconds(3)
    }

    private struct State {
        var rates: ClientRates
        var sites: [String: Turnstile<UInt64>] = [:]
        var waiters: [UInt64: (site: String, promise: EventLoopPromise<Void>)] = [:]
        var nextWaiter: UInt64 = 0
        /// When the timer fires; nil: it is not set.
        var timer: UInt64?
        /// To be told as soon as the lock is free: who is told may come back at once.
        var ended: [(promise: EventLoopPromise<Void>, refusal: Refusal?)] = []
    }

    private let bounds: Bounds
    /// Keeps the time for all.
    private let clock: any EventLoop
    private let state: Mutex<State>
    private let refusals: [Refusal: Counter]
    private let waiting: Meter

    init(
        _ bounds: Bounds, clock: any EventLoop, now: NIODeadline = .now(),
        metrics: any MetricsFactory = MetricsSystem.factory
    ) {
        self.bounds = bounds
        self.clock = clock
        self.waiting = Meter(label: "latchstring_edge_handshakes_waiting", factory: metrics)
        self.state = Mutex(
            State(
                rates: ClientRates(
                    perSecond: bounds.perClient, burst: bounds.burst, now: now.uptimeNanoseconds)))
        self.refusals = Dictionary(
            uniqueKeysWithValues: Refusal.allCases.map { refusal in
                let label = "latchstring_edge_handshakes_turned_away_total"
                return (refusal, Counter(label: label, dimensions: [("reason", refusal.rawValue)], factory: metrics))
            })
    }

    /// What the grant for a site allows, per second; nil if that is not known.
    func setRate(_ rate: Int?, for site: String, now: NIODeadline) {
        self.update(now) { state, now in
            self.withTurnstile(&state, site) { $0.setRate(rate, now: now) }
        }
    }

    /// The key holder says that the grant is used up.
    func usedUp(_ site: String, now: NIODeadline) {
        self.update(now) { state, now in
            self.withTurnstile(&state, site) { $0.usedUp(now: now) }
        }
    }

    /// Whether a client may have one more; it counts.
    ///
    /// - Parameter network: nil if it is exempt.
    func mayBegin(_ network: ClientNetwork?, now: NIODeadline) -> Bool {
        guard let network else { return true }
        let may = self.state.withLock { $0.rates.take(network, now: now.uptimeNanoseconds) }
        if !may { self.count(.clientRate) }
        return may
    }

    /// A handshake of a client wants the site's key holder.
    ///
    /// - Parameters:
    ///   - network: nil if it is exempt from the bound for one client; such ones take turns as one network.
    ///   - eventLoop: where to call back.
    func enter(_ site: String, _ network: ClientNetwork?, on eventLoop: any EventLoop, now: NIODeadline) -> Entry {
        guard self.mayBegin(network, now: now) else { return .refused(.clientRate) }
        return self.update(now) { state, now in
            state.nextWaiter += 1
            let id = state.nextWaiter
            let turn = network ?? ClientNetwork(nil as IPAddress?)
            let entry = self.withTurnstile(&state, site) { $0.enter(id, from: turn, now: now) }
            switch entry {
            case .pass: return .pass
            case .turnedAway:
                self.count(.lineFull)
                return .refused(.lineFull)
            case .wait: break
            case .waitInPlaceOf(let other): self.end(other, .lineFull, &state)
            }
            let promise = eventLoop.makePromise(of: Void.self)
            state.waiters[id] = (site, promise)
            return .wait(id, promise.futureResult)
        }
    }

    /// The client is gone: it takes no turn. Its future fails.
    func leave(_ id: UInt64) {
        self.update(.now()) { state, _ in
            guard let waiter = state.waiters.removeValue(forKey: id) else { return }
            self.withTurnstile(&state, waiter.site) { $0.leave(id) }
            state.ended.append((waiter.promise, .waitedInVain))
        }
    }

    // MARK: Turns

    private func withTurnstile<Result>(
        _ state: inout State, _ site: String, _ body: (inout Turnstile<UInt64>) -> Result
    ) -> Result {
        let patience = UInt64(max(0, self.bounds.patience.nanoseconds))
        return body(&state.sites[site, default: Turnstile(capacity: self.bounds.waiting, patience: patience)])
    }

    /// Does something, lets through who may pass after it, and sets the timer.
    @discardableResult
    private func update<Result: Sendable>(_ now: NIODeadline, _ body: (inout State, UInt64) -> Result) -> Result {
        let (result, ended) = self.state.withLock { state in
            let result = body(&state, now.uptimeNanoseconds)
            self.advance(&state, now.uptimeNanoseconds)
            defer { state.ended.removeAll() }
            return (result, state.ended)
        }
        for (promise, refusal) in ended {
            if let refusal { promise.fail(refusal) } else { promise.succeed() }
        }
        return result
    }

    private func advance(_ state: inout State, _ now: UInt64) {
        guard !state.waiters.isEmpty else { return self.waiting.set(0) }
        var wake: UInt64?
        for site in state.sites.keys {
            guard let (passing, expired) = state.sites[site]?.advance(now: now) else { continue }
            for id in passing {
                guard let waiter = state.waiters.removeValue(forKey: id) else { continue }
                state.ended.append((waiter.promise, nil))
            }
            for id in expired { self.end(id, .waitedInVain, &state) }
            guard let next = state.sites[site]?.wake else { continue }
            wake = min(wake ?? .max, next)
        }
        self.waiting.set(state.waiters.count)
        guard let wake, wake < state.timer ?? .max else { return }
        state.timer = wake
        self.clock.scheduleTask(deadline: .uptimeNanoseconds(wake)) { self.timerFired(wake) }
    }

    private func timerFired(_ time: UInt64) {
        self.update(.now()) { state, _ in
            if state.timer == time { state.timer = nil }
        }
    }

    private func end(_ id: UInt64, _ refusal: Refusal, _ state: inout State) {
        guard let waiter = state.waiters.removeValue(forKey: id) else { return }
        self.count(refusal)
        state.ended.append((waiter.promise, refusal))
    }

    private func count(_ refusal: Refusal) { self.refusals[refusal]?.increment() }
}
