import CacheStorage
import HTTPCaching
import NIOCore
import NIOHTTP1

/// Waiting for a response that another exchange has asked for.
extension CacheExchange {
    func followerHasNews(_ follower: FillFollower) {
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

    func follow(
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
    func standInLine() {
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

    func leaveLine(answered: Bool) {
        guard let place else { return }
        self.place = nil
        self.cache.releases.leave(place, widens: answered)
    }

    var mayValidate: Bool {
        guard case .stale = self.reason, let fallback, fallback.response.hasValidator,
            case .complete = fallback.response.extent
        else { return false }
        return true
    }

    /// Purges that came since the look-up hold for what it found, too.
    func noticePurges() {
        guard let fallback else { return }
        let generation = self.cache.store.generation
        self.fallback = self.cache.store.current(fallback, since: self.generation)
        self.generation = generation
    }
}
