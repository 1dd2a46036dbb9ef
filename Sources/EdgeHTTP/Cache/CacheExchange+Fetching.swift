import CacheStorage
import Channels
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore

/// Asking the origin, and what it answered to the exchange's own fetch.
extension CacheExchange {
    func depart(_ departure: CacheTurn.Departure, selectors: VariantKey, now: Int64) {
        switch departure {
        case .seekFlight: self.seekFlight(selectors, now: now)
        case .fetch(let plan): self.fetch(plan, nil)
        }
    }

    private func seekFlight(_ selectors: VariantKey, now: Int64) {
        let variant = selectors.key(of: self.request)
        let flight = self.cache.store.flight(for: self.key, variant: variant, now: now)
        let offer: CacheTurn.FlightOffer =
            switch flight {
            case .lead: .lead(isHeldUp: self.client.isOverShare(self.exchange.network))
            case .join(let fill): .join(isKnown: self.followed.contains { $0 === fill })
            case .alone: .alone
            }
        switch (self.turn.offered(offer), flight) {
        case (.fetch(let plan), .lead(let writer)) where plan.isShared:
            self.fetch(plan, writer)
        case (.fetch(let plan), .lead(let writer)):
            writer.fail(.abandoned)
            self.fetch(plan, nil)
        case (.fetch(let plan), _):
            self.fetch(plan, nil)
        case (.follow, .join(let fill)):
            self.follow(fill)
        case (.follow, _), (.nothing, _):
            break
        }
    }

    /// - Parameter writer: nil: for a response that others can't wait for.
    func fetch(_ plan: CacheTurn.FetchPlan, _ writer: FillWriter?) {
        self.followed = []
        let begun = self.cache.store.generation
        // Now that there is the fill, or its beginning is noted, since later purges find that.
        self.noticePurges()
        let fetch = CacheFetch(
            .init(
                request: self.request, client: self.asked, key: self.key,
                validating: plan.validates ? self.fallback : nil, asksAsClient: plan.asksAsClient,
                generation: self.generation, begun: begun, network: self.exchange.network),
            turn: .led(), writer: writer, cache: self.cache, client: self.client, leader: self)
        self.fetch = fetch
        fetch.begin()
    }

    // MARK: The line

    /// Those that waited in vain don't go all at once.
    func standInLine() {
        let target = NIOLoopBound(WakeTarget(self), eventLoop: self.client.eventLoop)
        let (ticket, goes) = self.cache.releases.enter(self.key, on: self.client.eventLoop) {
            guard let exchange = target.value.exchange else { return }
            // It may come to its end at once, and be gone.
            let proxied = exchange.exchange
            exchange.turnCame()
            proxied.originWritabilityChanged()
        }
        self.place = ticket
        if goes { self.turnCame() }
    }

    private func turnCame() {
        if let plan = self.turn.turnCame() { self.fetch(plan, nil) }
    }

    /// - Parameter status: what the origin answered; `nil` if nothing.
    func leaveLine(_ status: Int?) {
        guard let place else { return }
        self.place = nil
        self.cache.releases.leave(place, status: status)
    }

    // MARK: What the fetch found

    func fetchInformational(_ head: ResponseHead) {
        self.exchange.originInformational(head)
    }

    /// The connection to the origin is there.
    func fetchMoved() { self.exchange.originWritabilityChanged() }

    /// A response that is stored, or could be but for its size. Its bytes follow, and ``fetchHasMore()`` behind them.
    func fetchBegan(
        _ stored: StoredResponse, from writer: FillWriter, withheld: FieldSection?, isStored: Bool,
        now: Int64
    ) {
        guard self.turn.brought() else { return }
        self.leaveLine(stored.status)
        let event = CacheStatus.Event.forwarded(
            self.turn.reason, status: stored.status, stored: isStored ? stored : nil)
        self.send(
            stored, from: writer.fill.followUnwoken(), withheld: withheld,
            status: self.cache.status?.value(event, now: now), now: now)
    }

    /// More bytes have come, or the end, or there will be none.
    func fetchHasMore() {
        if case .sending = self.turn.phase { self.pump() }
    }

    /// The origin said 304 to the cache's own question.
    func fetchValidated(
        _ entry: CachedResponse, as response: StoredResponse, withheld: FieldSection?,
        refusal: StoreRefusal?, now: Int64
    ) {
        guard self.turn.confirmed(refusal) else { return }
        self.fetch = nil
        self.leaveLine(304)
        entry.recordUse()
        let status = self.cache.status?.value(.validated(self.turn.reason, response, refusal: refusal), now: now)
        self.send(entry, as: response, withheld: withheld, status: status, now: now)
        self.pump()
    }

    /// A response that is for this request alone: the proxy exchange goes on with it.
    ///
    /// - Parameters:
    ///   - response: as it goes to the client, but for what the cache adds.
    ///   - wasAskedForAll: the client's conditions and range were kept from the origin.
    func fetchIsOurs(
        _ origin: OriginExchange, _ response: CheckedResponse, refusal: StoreRefusal, wasAskedForAll: Bool,
        now: NIODeadline
    ) {
        guard self.turn.passesAlone(refusal, wasAskedForAll: wasAskedForAll) else { return origin.cancel() }
        self.fetch = nil
        self.leaveLine(response.status)
        self.exchange.adopt(origin, response, now: now)
    }

    /// The origin failed: it sent `status`, or nothing. Serves a stale response if one may be.
    ///
    /// - Returns: false if the failure has to be passed on.
    func fetchMayUseStale(status: Int?, now: Int64) -> Bool {
        self.noticePurges()
        guard let fallback,
            let hit = self.turn.mayUseStale(status: status, fallback: fallback.response, now: now)
        else { return false }
        self.fetch = nil
        self.leaveLine(nil)
        self.serveStale(fallback, hit, origin: status, now: now)
        return true
    }

    func fetchFailed(_ failure: OriginFailure) {
        guard self.turn.failed(failure.cause.rawValue) else { return }
        self.fetch = nil
        self.leaveLine(nil)
        self.exchange.fail(failure)
    }
}
