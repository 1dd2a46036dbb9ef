import HTTPCaching
import HTTPFields
import Testing

/// Every step of a request, and what each event leads to.
@Suite struct CacheTurnTests {
    private static let noDisk: @Sendable () -> Bool = { false }
    private static let hit = Hit(index: 0, age: 0, timeToLive: 60_000, allowance: .fresh)

    /// A request that waits for another one's response.
    private func following(_ asked: CacheRequest = request()) -> CacheTurn {
        var turn = CacheTurn(asked)
        #expect(
            turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
                == .depart(.seekFlight, fallback: nil))
        #expect(turn.offered(.join(isKnown: false)) == .follow)
        #expect(turn.phase == .waiting(.another))
        return turn
    }

    /// A request that waits for its own response.
    private func leading(_ asked: CacheRequest = request(), offer: CacheTurn.FlightOffer = .lead(isHeldUp: false))
        -> CacheTurn
    {
        var turn = CacheTurn(asked)
        _ = turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
        guard case .fetch = turn.offered(offer) else {
            Issue.record("no fetch")
            return turn
        }
        #expect(turn.phase == .waiting(.own))
        return turn
    }

    private func plan(shared: Bool = false, validates: Bool = false, asClient: Bool = false) -> CacheTurn.FetchPlan {
        CacheTurn.FetchPlan(isShared: shared, validates: validates, asksAsClient: asClient)
    }

    // MARK: The store

    @Test func aHitIsSentAtOnce() {
        var turn = CacheTurn(request())
        #expect(turn.found(.serve(Self.hit), diskMayHoldMore: { true }) == .serve(Self.hit))
        #expect(turn.phase == .sending)
        #expect(turn.isWaiting)
        #expect(turn.outcome == CacheOutcome(.hit, .allowed(.fresh)))
        turn.ended()
        #expect(turn.phase == .over)
        #expect(!turn.isWaiting)
    }

    @Test func aStaleHitIsRenewedBehindTheClientsBack() {
        var turn = CacheTurn(request())
        var stale = Self.hit
        stale.allowance = .staleWhileRevalidate
        #expect(
            turn.found(.serveAndRevalidate(stale), diskMayHoldMore: Self.noDisk) == .serveAndRenew(stale))
        #expect(turn.outcome == CacheOutcome(.stale, .allowed(.staleWhileRevalidate)))
    }

    @Test func theDiskIsAskedOnceAndOnlyWhereNothingElseWillDo() {
        var turn = CacheTurn(request())
        #expect(turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: { true }) == .load)
        #expect(turn.phase == .loading)
        #expect(
            turn.found(
                .fetch(.uriMiss, superseded: nil),
                diskMayHoldMore: {
                    Issue.record("asked twice")
                    return true
                }) == .depart(.seekFlight, fallback: nil))
        var validating = CacheTurn(request())
        let found = validating.found(
            .validate(index: 2, .stale(.expired)),
            diskMayHoldMore: {
                Issue.record("asked although there is something to validate")
                return true
            })
        #expect(found == .depart(.seekFlight, fallback: 2))
    }

    @Test func whatTheDiskFoundIsServed() {
        var turn = CacheTurn(request())
        _ = turn.found(.fetch(.varyMiss, superseded: nil), diskMayHoldMore: { true })
        #expect(turn.found(.serve(Self.hit), diskMayHoldMore: { true }) == .serve(Self.hit))
        #expect(turn.phase == .sending)
    }

    @Test func onlyIfCachedAsksTheDiskAndThenGivesUp() {
        var turn = CacheTurn(request([("Cache-Control", "only-if-cached")]))
        #expect(turn.found(.unavailable, diskMayHoldMore: { true }) == .load)
        #expect(turn.found(.unavailable, diskMayHoldMore: { true }) == .refuse)
        #expect(turn.phase == .over)
        #expect(turn.outcome == CacheOutcome(.onlyIfCached, .onlyIfCached))
    }

    @Test func whatTheStoreHasNoPartInGoesDirectly() {
        for reason in [ForwardReason.bypass(.siteRule), .method] {
            var turn = CacheTurn(request(method: .post))
            #expect(turn.found(.fetch(reason, superseded: nil), diskMayHoldMore: { true }) == .forward)
            #expect(turn.phase == .direct)
            #expect(!turn.isWaiting)
            #expect(turn.outcome == CacheOutcome(.bypass, .forwarded(reason)))
        }
        var upgrade = CacheTurn(request())
        upgrade.bypasses()
        #expect(upgrade.phase == .direct)
        #expect(upgrade.outcome == CacheOutcome(.bypass, .forwarded(.method)))
    }

    @Test func headIsForwardedAsAMiss() {
        var turn = CacheTurn(request(method: .head))
        #expect(turn.found(.fetch(.stale(.expired), superseded: 0), diskMayHoldMore: Self.noDisk) == .forward)
        #expect(turn.outcome == CacheOutcome(.miss, .forwarded(.stale(.expired))))
    }

    @Test func whoMayNotWaitGoesAlone() {
        var turn = CacheTurn(request([("Authorization", "Basic YTpi")]))
        #expect(
            turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
                == .depart(.fetch(self.plan()), fallback: nil))
        #expect(turn.phase == .waiting(.own))
        var reload = CacheTurn(request([("Cache-Control", "no-cache")]))
        #expect(
            reload.found(.validate(index: 1, .request(.noCache)), diskMayHoldMore: Self.noDisk)
                == .depart(.fetch(self.plan(validates: true)), fallback: 1))
    }

    // MARK: Flights

    @Test func theFirstLeadsForAll() {
        var turn = CacheTurn(request())
        _ = turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
        #expect(turn.offered(.lead(isHeldUp: false)) == .fetch(self.plan(shared: true)))
    }

    @Test func whoHasToWaitForAConnectionLeadsNobody() {
        var turn = CacheTurn(request())
        _ = turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
        #expect(turn.offered(.lead(isHeldUp: true)) == .fetch(self.plan()))
    }

    @Test func aKeyKnownToBePrivateIsNotWaitedFor() {
        var turn = CacheTurn(request())
        _ = turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
        // Conditions and range go along: what comes is hardly for the store.
        #expect(turn.offered(.alone) == .fetch(self.plan(asClient: true)))
    }

    @Test func nothingIsWaitedForTwice() {
        var turn = CacheTurn(request())
        _ = turn.found(.fetch(.uriMiss, superseded: nil), diskMayHoldMore: Self.noDisk)
        #expect(turn.offered(.join(isKnown: true)) == .fetch(self.plan()))
    }

    @Test func aStaleResponseIsValidatedByWhoLeads() {
        var turn = CacheTurn(request())
        _ = turn.found(.validate(index: 0, .stale(.expired)), diskMayHoldMore: Self.noDisk)
        #expect(turn.offered(.lead(isHeldUp: false)) == .fetch(self.plan(shared: true, validates: true)))
    }

    // MARK: Another's response

    @Test func whatAnotherBroughtIsSent() throws {
        var turn = self.following()
        let stored = try stored([("Cache-Control", "max-age=60")])
        #expect(turn.heard(.stored(stored), fallback: nil, now: arrival) == .serve)
        #expect(turn.phase == .sending)
        #expect(turn.outcome == CacheOutcome(.collapsed, .forwarded(.uriMiss)))
    }

    @Test func anotherVariantLeadsToAFlightOfItsOwnButNotForEver() throws {
        let other = try stored(
            [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")],
            to: request([("Accept-Language", "de")]))
        var turn = self.following()
        for _ in 1...CacheTurn.maximumDepartures {
            #expect(turn.heard(.stored(other), fallback: nil, now: arrival) == .depart(.seekFlight))
            #expect(turn.phase == .idle)
            #expect(turn.offered(.join(isKnown: false)) == .follow)
        }
        #expect(turn.heard(.stored(other), fallback: nil, now: arrival) == .depart(.fetch(self.plan())))
        #expect(turn.phase == .waiting(.own))
    }

    @Test func whoWaitedInVainStandsInLineAndThenAsksAsItsClientDid() {
        var turn = self.following()
        #expect(turn.heard(.notStored, fallback: nil, now: arrival) == .standInLine)
        #expect(turn.phase == .inLine)
        #expect(turn.isWaiting)
        #expect(turn.turnCame() == self.plan(asClient: true))
        #expect(turn.phase == .waiting(.own))
        #expect(turn.turnCame() == nil)
    }

    @Test func whatMustBeValidatedByEachIsNotPrivate() throws {
        // It can be stored, and so conditions stay away from the origin.
        let stored = try stored([("Cache-Control", "no-cache"), ("ETag", "\"a\"")])
        var turn = self.following()
        #expect(turn.heard(.stored(stored), fallback: nil, now: arrival) == .standInLine)
        #expect(turn.turnCame() == self.plan())
    }

    @Test func afterTwoFailuresThoseThatWaitFail() {
        var turn = self.following()
        #expect(turn.heard(.failed, fallback: nil, now: arrival) == .depart(.seekFlight))
        #expect(turn.offered(.join(isKnown: false)) == .follow)
        #expect(turn.heard(.failed, fallback: nil, now: arrival) == .fail)
        #expect(turn.phase == .over)
        #expect(turn.outcome.text == "collapsed")
    }

    @Test func aStaleResponseStandsInForTheFailureOfAnother() throws {
        let old = try stored([("Cache-Control", "max-age=60, stale-if-error=600"), ("ETag", "\"a\"")])
        let now = arrival + 100_000
        var turn = CacheTurn(request())
        _ = turn.found(.validate(index: 0, .stale(.expired)), diskMayHoldMore: Self.noDisk)
        _ = turn.offered(.join(isKnown: false))
        #expect(turn.heard(.failed, fallback: old, now: now) == .depart(.seekFlight))
        _ = turn.offered(.join(isKnown: false))
        guard case .serveStale(let hit) = turn.heard(.failed, fallback: old, now: now) else {
            Issue.record("not served")
            return
        }
        #expect(hit.allowance == .staleIfError)
        #expect(turn.phase == .sending)
        #expect(turn.outcome == CacheOutcome(.staleIfError, .originFailed(nil)))
    }

    @Test func whatAPurgeTookIsNotValidatedAfterwards() {
        var turn = CacheTurn(request())
        _ = turn.found(.validate(index: 0, .stale(.expired)), diskMayHoldMore: Self.noDisk)
        _ = turn.offered(.join(isKnown: false))
        _ = turn.heard(.failed, fallback: nil, now: arrival)
        #expect(turn.offered(.lead(isHeldUp: false)) == .fetch(self.plan(shared: true)))
    }

    @Test func whatIsFoundMeanwhileIsServed() throws {
        var fresh = CacheTurn(request())
        #expect(fresh.foundMeanwhile(.serve(Self.hit)) == nil)
        var turn = self.following()
        #expect(turn.foundMeanwhile(.serve(Self.hit)) == nil)
        let other = try stored(
            [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")],
            to: request([("Accept-Language", "de")]))
        #expect(turn.heard(.stored(other), fallback: nil, now: arrival) == .depart(.seekFlight))
        #expect(turn.foundMeanwhile(.fetch(.varyMiss, superseded: nil)) == nil)
        #expect(turn.foundMeanwhile(.serve(Self.hit)) == Self.hit)
        #expect(turn.phase == .sending && turn.outcome == CacheOutcome(.hit, .allowed(.fresh)))
    }

    // MARK: Its own response

    @Test func itsOwnResponseIsSentAsItComes() {
        var turn = self.leading()
        #expect(turn.brought() == true)
        #expect(turn.phase == .sending)
        #expect(turn.outcome == CacheOutcome(.miss, .forwarded(.uriMiss)))
        #expect(turn.brought() == false)
    }

    @Test func aConfirmedResponseIsSent() {
        var turn = self.leading()
        #expect(turn.confirmed(.isPrivate) == true)
        #expect(turn.phase == .sending)
        #expect(turn.refusal == .isPrivate)
        #expect(turn.outcome == CacheOutcome(.revalidated, .forwarded(.uriMiss)))
    }

    @Test func aPrivateResponseGoesOnDirectlyAndIsJudgedIfTheOriginWasAskedForAll() {
        for wasAskedForAll in [true, false] {
            var turn = self.leading()
            #expect(turn.passesAlone(.isPrivate, wasAskedForAll: wasAskedForAll) == true)
            #expect(turn.phase == .direct)
            #expect(turn.judgesAnswer == wasAskedForAll)
            #expect(turn.outcome == CacheOutcome(.miss, .refused(.isPrivate)))
        }
    }

    @Test func aStaleResponseStandsInForAnErrorWhereItMay() throws {
        let old = try stored([("Cache-Control", "max-age=60, stale-if-error=600")])
        let now = arrival + 100_000
        var turn = self.leading()
        #expect(turn.mayUseStale(status: 404, fallback: old, now: now) == nil)
        #expect(turn.mayUseStale(status: 503, fallback: nil, now: now) == nil)
        #expect(turn.phase == .waiting(.own))
        #expect(turn.mayUseStale(status: 503, fallback: old, now: now)?.allowance == .staleIfError)
        #expect(turn.phase == .sending)
        #expect(turn.outcome.text == "origin-503")
        #expect(turn.mayUseStale(status: 503, fallback: old, now: now) == nil)
    }

    @Test func aFailureIsToldOnce() {
        var turn = self.leading()
        #expect(turn.failed("connect-refused") == true)
        #expect(turn.phase == .over)
        #expect(turn.outcome == CacheOutcome(.failed, .cause("connect-refused")))
        #expect(turn.failed("connect-refused") == false)
    }

    // MARK: Too late

    @Test func whatComesAfterTheEndIsDropped() throws {
        let stored = try stored([("Cache-Control", "max-age=60")])
        for start in [self.following(), self.leading(), CacheTurn(request())] {
            var turn = start
            turn.cancel()
            #expect(turn.phase == .over)
            #expect(turn.found(.serve(Self.hit), diskMayHoldMore: { true }) == .nothing)
            #expect(turn.offered(.lead(isHeldUp: false)) == .nothing)
            #expect(turn.heard(.stored(stored), fallback: nil, now: arrival) == .nothing)
            #expect(turn.turnCame() == nil)
            #expect(turn.brought() == false)
            #expect(turn.confirmed(nil) == false)
            #expect(turn.passesAlone(.noStore, wasAskedForAll: true) == false)
            #expect(turn.mayUseStale(status: nil, fallback: stored, now: arrival) == nil)
            #expect(turn.failed("reset") == false)
            turn.bypasses()
            #expect(turn.phase == .over)
        }
    }

    @Test func anEventThatTheStepDoesNotExpectChangesNothing() throws {
        let stored = try stored([("Cache-Control", "max-age=60")])
        var waiting = self.following()
        #expect(waiting.brought() == false)
        #expect(waiting.turnCame() == nil)
        #expect(waiting.offered(.alone) == .nothing)
        #expect(waiting.phase == .waiting(.another))
        var own = self.leading()
        #expect(own.heard(.stored(stored), fallback: nil, now: arrival) == .nothing)
        #expect(own.found(.serve(Self.hit), diskMayHoldMore: { true }) == .nothing)
        #expect(own.phase == .waiting(.own))
    }

    @Test func reasonsBecomeTextOnlyForLogs() {
        #expect(CacheOutcome(.miss, .forwarded(.uriMiss)).text == "uri-miss")
        #expect(CacheOutcome(.miss, .forwarded(.stale(.expired))).text == "stale/expired")
        #expect(CacheOutcome(.bypass, .none).text == "")
        #expect(CacheOutcome(.hit, .allowed(.fresh)).text == "fresh")
        #expect(CacheOutcome(.staleIfError, .originFailed(nil)).text == "origin-failed")
    }
}
