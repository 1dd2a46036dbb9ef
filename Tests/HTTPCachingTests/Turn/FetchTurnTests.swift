import HTTPCaching
import NIOCore
import Testing

/// A request to the origin on the cache's behalf, from its head to its end.
@Suite struct FetchTurnTests {
    private static func at(_ seconds: Int64) -> NIODeadline {
        .uptimeNanoseconds(1_000_000_000_000) + .seconds(seconds)
    }

    private func filling(unattended: Bool = false) -> FetchTurn {
        var turn = unattended ? FetchTurn.unattended(now: Self.at(0)) : FetchTurn.led()
        #expect(turn.answered(keepsStale: false, refusal: nil, isWorthwhile: { true }, now: Self.at(0)) == .fills)
        return turn
    }

    @Test func aResponseForTheStoreIsFilledIn() {
        var turn = self.filling()
        #expect(turn.phase == .filling)
        #expect(turn.answered(keepsStale: false, refusal: nil, isWorthwhile: { true }, now: Self.at(0)) == .nothing)
        #expect(turn.ended() == .finish)
        #expect(turn.isOver)
        #expect(turn.ended() == .nothing)
    }

    @Test func whatIsNotStoredGoesToTheLeaderOrNowhere() {
        var led = FetchTurn.led()
        #expect(
            led.answered(keepsStale: false, refusal: .isPrivate, isWorthwhile: { true }, now: Self.at(0))
                == .passes(.isPrivate))
        #expect(led.isOver)
        var behind = FetchTurn.unattended(now: Self.at(0))
        #expect(
            behind.answered(keepsStale: false, refusal: .isPrivate, isWorthwhile: { true }, now: Self.at(0))
                == .drops(.isPrivate))
        var left = FetchTurn.led()
        #expect(left.leaderLeft(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(0)) == false)
        #expect(
            left.answered(keepsStale: false, refusal: .noStore, isWorthwhile: { true }, now: Self.at(0))
                == .drops(.noStore))
    }

    @Test func anErrorInThePlaceOfAGoodPageIsDrained() {
        var turn = FetchTurn.unattended(now: Self.at(0))
        #expect(turn.answered(keepsStale: true, refusal: nil, isWorthwhile: { true }, now: Self.at(1)) == .keepsStale)
        #expect(turn.phase == .draining)
        #expect(turn.giveUpAt == Self.at(1) + FetchTurn.patience)
        #expect(turn.ended() == .done)
        #expect(turn.givesPlaceBack() == true)
        #expect(turn.givesPlaceBack() == false)
    }

    @Test func aConfirmationHasNoBodyToWaitFor() {
        var turn = FetchTurn.led()
        #expect(turn.confirmed(now: Self.at(0)) == true)
        #expect(turn.phase == .draining)
        #expect(turn.confirmed(now: Self.at(0)) == false)
        #expect(turn.timedOut(readers: 5, takesPlace: { true }, isWanted: { true }, now: Self.at(4)) == .lookAtOrigin)
        #expect(turn.timedOut(readers: 5, takesPlace: { true }, isWanted: { true }, now: Self.at(5)) == .stop)
        #expect(turn.isOver)
    }

    @Test func theStoreSaysWhenToPauseAndWhenToGoOn() {
        var turn = self.filling()
        #expect(turn.flow(.proceed) == .nothing)
        #expect(turn.flow(.pause) == .pause)
        #expect(turn.flow(.pause) == .nothing)
        #expect(turn.isPaused)
        #expect(turn.deadline(pausedAt: Self.at(3)) == Self.at(3) + FetchTurn.patience)
        #expect(turn.timedOut(readers: 2, takesPlace: { true }, isWanted: { true }, now: Self.at(8)) == .cutOffSlowest)
        #expect(turn.flow(.proceed) == .resume)
        #expect(turn.flow(.unwanted) == .giveUp)
        #expect(turn.isOver)
        var early = FetchTurn.led()
        #expect(early.flow(.unwanted) == .nothing)
        #expect(early.phase == .fetching)
    }

    @Test func failuresDifferBeforeAndAfterTheHead() {
        var fetching = FetchTurn.led()
        #expect(fetching.failed() == .unanswered)
        #expect(fetching.failed() == .nothing)
        var filling = self.filling()
        #expect(filling.failed() == .truncated)
        var draining = FetchTurn.led()
        _ = draining.confirmed(now: Self.at(0))
        #expect(draining.failed() == .done)
    }

    @Test func anEndBeforeTheHeadIsAViolation() {
        var turn = FetchTurn.led()
        #expect(turn.ended() == .premature)
        // It is judged as a failure then.
        #expect(turn.failed() == .unanswered)
    }

    @Test func aFetchOutlivesItsLeaderWithinBounds() {
        var turn = self.filling()
        #expect(turn.leaderLeft(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(0)) == false)
        #expect(turn.isUnattended)
        #expect(!turn.hasLeader)
        #expect(turn.timedOut(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(59)) == .lookAtOrigin)
        // As long as it is read, it goes on.
        #expect(turn.timedOut(readers: 1, takesPlace: { true }, isWanted: { true }, now: Self.at(60)) == .goOn)
        #expect(turn.timedOut(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(119)) == .lookAtOrigin)
        #expect(turn.timedOut(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(120)) == .giveUp)
        #expect(turn.isOver)
        #expect(turn.givesPlaceBack() == true)
    }

    @Test func withoutAPlaceOrAUseItEndsWithItsLeader() {
        var crowded = self.filling()
        #expect(crowded.leaderLeft(readers: 0, takesPlace: { false }, isWanted: { true }, now: Self.at(0)) == true)
        #expect(crowded.isOver)
        #expect(crowded.givesPlaceBack() == false)
        var useless = self.filling()
        #expect(useless.leaderLeft(readers: 0, takesPlace: { true }, isWanted: { false }, now: Self.at(0)) == true)
        #expect(useless.givesPlaceBack() == false)
        var early = FetchTurn.led()
        #expect(early.leaderLeft(readers: 0, takesPlace: { true }, isWanted: { false }, now: Self.at(0)) == false)
        var draining = FetchTurn.led()
        _ = draining.confirmed(now: Self.at(0))
        #expect(draining.leaderLeft(readers: 0, takesPlace: { false }, isWanted: { false }, now: Self.at(0)) == false)
    }

    /// Others that read need no place: that the site's places are taken is not their doing.
    @Test func aFetchGoesOnForOthersWithoutAPlace() {
        var turn = self.filling()
        #expect(turn.leaderLeft(readers: 1, takesPlace: { false }, isWanted: { true }, now: Self.at(0)) == false)
        #expect(!turn.isUnattended && !turn.isOver)
        #expect(
            turn.timedOut(readers: 1, takesPlace: { false }, isWanted: { true }, now: Self.at(5)) == .goOn)
        // The last one has left: now it takes a place, or ends.
        var placed = turn
        #expect(placed.timedOut(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(10)) == .goOn)
        #expect(placed.isUnattended)
        #expect(turn.timedOut(readers: 0, takesPlace: { false }, isWanted: { true }, now: Self.at(10)) == .giveUp)
        #expect(turn.givesPlaceBack() == false)
        var waiting = FetchTurn.led()
        #expect(waiting.leaderLeft(readers: 3, takesPlace: { false }, isWanted: { true }, now: Self.at(0)) == false)
        #expect(
            waiting.answered(keepsStale: false, refusal: nil, isWorthwhile: { false }, now: Self.at(1)) == .fills)
    }

    /// A client that wants a byte of a large body and leaves: the origin is not to send all of it.
    @Test func aLargeBodyIsNotFetchedForNoClient() {
        var early = FetchTurn.led()
        #expect(early.leaderLeft(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(0)) == false)
        #expect(
            early.answered(keepsStale: false, refusal: nil, isWorthwhile: { false }, now: Self.at(1)) == .givesUp)
        #expect(early.isOver && early.givesPlaceBack())
        // Behind the clients' backs something is confirmed that was stored before.
        var behind = FetchTurn.unattended(now: Self.at(0))
        #expect(
            behind.answered(keepsStale: false, refusal: nil, isWorthwhile: { false }, now: Self.at(1)) == .fills)
    }

    @Test func behindTheClientsBacksItHasAPlaceFromTheBeginning() {
        var turn = FetchTurn.unattended(now: Self.at(0))
        #expect(!turn.hasLeader)
        let givesUp = turn.leaderLeft(
            readers: 0,
            takesPlace: {
                Issue.record("a second place")
                return true
            }, isWanted: { false }, now: Self.at(0))
        #expect(!givesUp)
        #expect(turn.timedOut(readers: 0, takesPlace: { true }, isWanted: { true }, now: Self.at(60)) == .giveUp)
    }
}
