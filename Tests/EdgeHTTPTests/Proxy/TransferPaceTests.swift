import NIOCore
import Testing

@testable import EdgeHTTP

@Suite struct TransferPaceTests {
    private static func at(_ seconds: Double) -> NIODeadline {
        .uptimeNanoseconds(UInt64(1_000_000_000_000 + seconds * 1_000_000_000))
    }

    private func pace() -> TransferPace { TransferPace(.init(silence: .seconds(60), window: .seconds(30))) }

    @Test func asksForTheRateInEachWindow() {
        var pace = self.pace()
        pace.waits(now: Self.at(0))
        #expect(pace.deadline(rate: 100) == Self.at(30))
        pace.moved(3_000, now: Self.at(29))
        #expect(pace.look(now: Self.at(29.9), rate: 100) == .goesOn)
        #expect(pace.look(now: Self.at(30), rate: 100) == .goesOn)
        // What moved before pays for nothing later.
        #expect(pace.deadline(rate: 100) == Self.at(60))
        pace.moved(2_999, now: Self.at(59))
        #expect(pace.look(now: Self.at(60), rate: 100) == .tooSlow)
    }

    @Test func silenceEndsItWhateverMovedBefore() {
        var pace = self.pace()
        pace.waits(now: Self.at(0))
        pace.moved(1_000_000, now: Self.at(5))
        #expect(pace.look(now: Self.at(64), rate: 1) == .goesOn)
        #expect(pace.look(now: Self.at(65), rate: 1) == .silent)
    }

    @Test func withoutARateOnlySilenceCounts() {
        var pace = self.pace()
        pace.waits(now: Self.at(0))
        #expect(pace.deadline(rate: 0) == Self.at(60))
        pace.moved(1, now: Self.at(59))
        #expect(pace.deadline(rate: 0) == Self.at(119))
        #expect(pace.look(now: Self.at(118), rate: 0) == .goesOn)
        #expect(pace.look(now: Self.at(119), rate: 0) == .silent)
    }

    @Test func theClockStandsWhileAnotherHasItsTurn() {
        var pace = self.pace()
        #expect(pace.deadline(rate: 100) == .distantFuture)
        pace.waits(now: Self.at(0))
        pace.rests(now: Self.at(10))
        #expect(pace.deadline(rate: 100) == .distantFuture)
        #expect(pace.look(now: Self.at(1_000), rate: 100) == .goesOn)
        pace.waits(now: Self.at(1_000))
        pace.waits(now: Self.at(1_005))
        #expect(pace.deadline(rate: 100) == Self.at(1_020))
        pace.rests(now: Self.at(1_010))
        // Bytes count whenever they move.
        pace.moved(3_000, now: Self.at(1_011))
        pace.waits(now: Self.at(2_000))
        #expect(pace.look(now: Self.at(2_010), rate: 100) == .goesOn)
        #expect(pace.deadline(rate: 100) == Self.at(2_040))
    }
}
