import CacheStorage
import HTTPCaching
import HTTPFields
import NIOCore

/// Waiting for a response that another exchange has asked for.
extension CacheExchange {
    func follow(_ fill: Fill) {
        self.followed.append(fill)
        let follower = fill.follow(on: self.client.eventLoop, wake: self.wake)
        self.follower = follower
        self.followerHasNews(follower)
    }

    func followerHasNews(_ follower: FillFollower) {
        let head = follower.head()
        let news: Collapsing.Outcome
        var selectors: VariantKey = .invariant
        switch head {
        case .pending: return
        case .shared(let stored):
            news = .stored(stored)
            selectors = stored.variant
        case .validated(let entry):
            news = .stored(entry.response)
            selectors = entry.response.variant
        case .unshared: news = .notStored
        case .failed: news = .failed
        }
        let now = self.cache.clock()
        self.noticePurges()
        let heard = self.turn.heard(news, fallback: self.fallback?.response, now: now)
        if case .nothing = heard { return }
        self.follower = nil
        if heard == .serve { return self.serve(head, follower, now: now) }
        follower.cancel()
        switch heard {
        case .serve, .nothing: break
        case .depart(.seekFlight): self.lookAgain(selectors, now: now)
        case .depart(let departure): self.depart(departure, selectors: selectors, now: now)
        case .standInLine: self.standInLine()
        case .serveStale(let hit):
            if let fallback { self.serveStale(fallback, hit, origin: nil, now: now) }
        case .fail:
            self.exchange.fail(OriginFailure(.reset, "the request that this one waited for failed"))
        }
    }

    /// What it waited for was for others, but it may hear of that late: another that waited, too, may have brought what it wants.
    private func lookAgain(_ selectors: VariantKey, now: Int64) {
        let generation = self.cache.store.generation
        let variants = self.cache.store.lookup(self.key)
        let lookup = self.request.lookup(count: variants.count, variant: { variants[$0].response }, now: now)
        guard let hit = self.turn.foundMeanwhile(lookup) else {
            return self.depart(.seekFlight, selectors: selectors, now: now)
        }
        self.generation = generation
        self.serve(variants[hit.index], hit, now: now)
    }

    private func serve(_ head: FillHead, _ follower: FillFollower, now: Int64) {
        func status(_ code: Int) -> String? {
            let event = CacheStatus.Event.forwarded(self.turn.reason, status: code, stored: nil, collapsed: true)
            return self.cache.status?.value(event, now: now)
        }
        switch head {
        case .shared(let stored):
            self.send(stored, from: follower, withheld: nil, status: status(stored.status), now: now)
        case .validated(let entry):
            follower.cancel()
            self.send(entry, status: status(304), now: now)
        case .pending, .unshared, .failed:
            follower.cancel()
        }
        self.pump()
    }

    /// Run on this event loop when a reader or a follower has news.
    var wake: @Sendable () -> Void {
        let target = NIOLoopBound(WakeTarget(self), eventLoop: self.client.eventLoop)
        return { target.value.exchange?.woken() }
    }

    private func woken() {
        switch self.turn.phase {
        case .waiting(.another): if let follower { self.followerHasNews(follower) }
        case .sending: self.pump()
        case .waiting(.own), .idle, .loading, .inLine, .direct, .over: break
        }
    }
}
