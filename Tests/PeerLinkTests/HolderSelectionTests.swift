import Testing

@testable import PeerLink

@Suite struct HolderSelectionTests {
    private static func selection(_ latencies: Int64...) -> HolderSelection {
        var selection = HolderSelection(count: latencies.count)
        for (index, latency) in latencies.enumerated() {
            selection.connected(index)
            selection.probed(index, after: latency, now: 0)
        }
        return selection
    }

    @Test func prefersTheFastestReadyOne() {
        #expect(HolderSelection(count: 3).choose(now: 0) == nil)
        let selection = Self.selection(1000, 500)
        #expect(selection.choose(now: 0) == 1)
        #expect(selection.choose(excluding: [1], now: 0) == 0)
        #expect(selection.choose(excluding: [0, 1], now: 0) == nil)
    }

    @Test func sharesLoadBetweenEquals() {
        var selection = Self.selection(1000, 1000)
        var counts = [0, 0]
        for _ in 0..<100 {
            let index = selection.choose(now: 0)!
            selection.sent(index, now: 0)
            counts[index] += 1
        }
        #expect(counts == [50, 50])
    }

    @Test func aFarOneGetsWhatTheNearOneIsTooBusyFor() {
        var selection = Self.selection(1000, 5000)
        var counts = [0, 0]
        for _ in 0..<60 {
            let index = selection.choose(now: 0)!
            selection.sent(index, now: 0)
            counts[index] += 1
        }
        #expect(counts == [50, 10])
    }

    @Test func oneThatTimedOutGetsNothingUntilItAnswersAProbe() {
        var selection = Self.selection(1000, 1000)
        selection.sent(0, now: 0)
        selection.timedOut(0)
        #expect(selection.choose(excluding: [1], now: 0) == nil)
        #expect(selection.hasReady)
        selection.probed(0, after: 900, now: 5)
        #expect(selection.choose(now: 5) == 0)
        selection.disconnected(0)
        selection.probed(0, after: 1, now: 6)
        #expect(selection.choose(now: 6) == 1)
    }

    @Test func silenceCountsFromTheLastAnswerOn() {
        var selection = Self.selection(1000, 3000)
        // Idle for long: that is no silence.
        #expect(selection.choose(now: 1_000_000) == 0)
        selection.sent(0, now: 1_000_000)
        selection.sent(0, now: 1_000_000)
        selection.answered(0, after: 900, now: 1_000_900)
        #expect(selection.choose(now: 1_001_000) == 0)
        // One is under way, and nothing comes.
        #expect(selection.choose(now: 1_004_000) == 1)
        #expect(selection.silent(for: 5000, now: 1_005_901) == [0])
        #expect(selection.silent(for: 5000, now: 1_005_900) == [])
        // A pong is an answer.
        selection.probed(0, after: 100, now: 1_006_000)
        #expect(selection.silent(for: 5000, now: 1_006_100) == [])
    }

    @Test func oneIsLeftForItsSilenceOnlyWhereAnotherAnswers() {
        var selection = Self.selection(1000, 1000)
        selection.sent(0, now: 0)
        selection.sent(1, now: 0)
        #expect(selection.silent(for: 100, now: 1000) == [])
        selection.answered(1, after: 1000, now: 1000)
        #expect(selection.silent(for: 100, now: 1050) == [0])
        selection.suspected(0)
        #expect(selection.silent(for: 100, now: 1050) == [])
        #expect(selection.choose(now: 1050) == 1)
    }

    @Test func oneIsLeftWhenAPingIsNotAnsweredEither() {
        for isAnswered in [true, false] {
            var selection = Self.selection(1000, 1000)
            selection.sent(0, now: 0)
            // It was not looked at before: then it is asked first, too.
            #expect(selection.silenceNews(patience: 10_000, now: 20_000) == ([0], []))
            #expect(selection.silenceNews(patience: 10_000, now: 24_999) == ([], []))
            if isAnswered { selection.probed(0, after: 100, now: 24_999) }
            #expect(selection.silenceNews(patience: 10_000, now: 25_000) == ([], isAnswered ? [] : [0]))
        }
        // A far one has the time that its answer takes.
        var far = Self.selection(9000, 1000)
        far.sent(0, now: 0)
        #expect(far.silenceNews(patience: 10_000, now: 5001) == ([0], []))
        #expect(far.silenceNews(patience: 10_000, now: 23_000) == ([], []))
        #expect(far.silenceNews(patience: 10_000, now: 23_001) == ([], [0]))
    }

    @Test func pongsDoNotHideSlowWork() {
        var selection = Self.selection(1000, 2000)
        for time in 1...40 {
            selection.sent(0, now: Int64(time))
            selection.answered(0, after: 100_000, now: Int64(time))
            selection.probed(0, after: 100, now: Int64(time))
        }
        #expect(selection.choose(now: 41) == 1)
        // Without work, pongs bring it back by and by.
        for time in 41...100 { selection.probed(0, after: 100, now: Int64(time)) }
        #expect(selection.choose(now: 101) == 0)
    }

    @Test func refusalsAreNoMeasure() {
        var selection = Self.selection(1000, 500)
        for _ in 0..<8 {
            selection.sent(0, now: 0)
            selection.declined(0, now: 0)
        }
        #expect(selection.holders[0].inFlight == 0 && selection.choose(now: 0) == 1)
    }

    @Test func oneThatFailedIsAskedLastForAMoment() {
        var selection = Self.selection(10, 5000)
        selection.sent(0, now: 100)
        selection.failed(0, now: 100)
        #expect(selection.choose(now: 100) == 1)
        #expect(selection.choose(excluding: [1], now: 100) == 0)
        #expect(selection.choose(now: 99 + HolderSelection.restAfterFailure) == 1)
        #expect(selection.choose(now: 100 + HolderSelection.restAfterFailure) == 0)
        // Where all have failed, the fastest of them.
        selection.failed(1, now: 100)
        selection.failed(0, now: 100)
        #expect(selection.choose(now: 100) == 0)
    }

    @Test func oneThatWasOutrunIsAtLeastAsSlow() {
        var selection = Self.selection(1000, 2000)
        for _ in 0..<8 {
            selection.sent(0, now: 0)
            selection.outrun(0, after: 50_000)
        }
        #expect(selection.holders[0].inFlight == 0 && selection.holders[0].latency! > 20_000)
        #expect(selection.choose(now: 0) == 1)
    }
}

@Suite struct LatencyQuantilesTests {
    @Test func isRoundedUpByAFifthAtMost() {
        for value in [Int64(1500), 40_000, 1_000_000, 70_000_000, 2_000_000_000] {
            var latencies = LatencyQuantiles()
            for _ in 0..<LatencyQuantiles.least { latencies.add(value) }
            let found = latencies.quantile(0.95)!
            #expect(found >= value && Double(found) <= 1.25 * Double(value), "\(value): \(found)")
        }
    }

    @Test func findsTheShare() {
        var latencies = LatencyQuantiles()
        for number in 0..<100 { latencies.add(number < 95 ? 1_000_000 : 100_000_000) }
        #expect(latencies.quantile(0.95)! < 1_300_000)
        #expect(latencies.quantile(0.96)! >= 100_000_000)
    }

    @Test func saysNothingOfAFewAndForgets() {
        var latencies = LatencyQuantiles()
        latencies.add(1)
        #expect(latencies.quantile(0.95) == nil)
        for _ in 0..<1000 { latencies.add(100_000_000) }
        for _ in 0..<10_000 { latencies.add(1_000_000) }
        #expect(latencies.quantile(0.95)! < 1_300_000)
        latencies.add(.max)
        latencies.add(-5)
        #expect(latencies.total <= LatencyQuantiles.memory)
    }
}

@Suite struct HedgePlanTests {
    private static let millisecond: Int64 = 1_000_000

    @Test func waitsForWhatMostAnswersTake() {
        var plan = HedgePlan(share: 0.05)
        #expect(plan.wait == HedgePlan.longestWait)
        for _ in 0..<100 { plan.answered(after: 10 * Self.millisecond, isSignature: true) }
        #expect(plan.wait >= 10 * Self.millisecond && plan.wait <= 13 * Self.millisecond)
        for _ in 0..<5000 { plan.answered(after: 1000, isSignature: true) }
        #expect(plan.wait == HedgePlan.shortestWait)
        for _ in 0..<5000 { plan.answered(after: 5_000 * Self.millisecond, isSignature: true) }
        #expect(plan.wait == HedgePlan.longestWait)
    }

    @Test func otherWorkThanSignaturesHasAMeasureOfItsOwn() {
        var plan = HedgePlan(share: 0.05)
        for _ in 0..<100 {
            plan.answered(after: 2 * Self.millisecond, isSignature: true)
            plan.answered(after: 300 * Self.millisecond, isSignature: false)
        }
        let deadline = 10_000 * Self.millisecond
        #expect(plan.wait < 3 * Self.millisecond)
        #expect(plan.patience(within: deadline, withOthers: false) == HedgePlan.patience.least)
        #expect(plan.patience(within: deadline, withOthers: true) >= 1200 * Self.millisecond)
    }

    @Test func makesNoMoreThanItsShare() {
        var plan = HedgePlan(share: 0.05)
        var hedges = 0
        for time in 0..<10_000 {
            plan.began()
            if plan.take(now: Int64(time)) { hedges += 1 }
        }
        #expect((499...502).contains(hedges))
        // After a quiet time, a few in a row.
        for _ in 0..<10_000 { plan.began() }
        var row = 0
        while plan.take(now: 20_000) { row += 1 }
        #expect(row == 10)
        var none = HedgePlan(share: 0)
        for _ in 0..<1000 { none.began() }
        let isTaken = none.take(now: 0)
        #expect(!isTaken)
    }

    @Test func restsWhereThereIsTooMuchToDo() {
        var plan = HedgePlan(share: 0.05)
        for _ in 0..<100 { plan.began() }
        plan.refused(now: 5)
        let early = plan.take(now: 5 + HedgePlan.restAfterOverload - 1)
        let later = plan.take(now: 5 + HedgePlan.restAfterOverload)
        #expect(!early && later)
    }

    @Test func isMorePatientWithSlowOnesButNotBeyondAQuarterOfTheTime() {
        var plan = HedgePlan(share: 0.05)
        #expect(plan.patience(within: 2000 * Self.millisecond, withOthers: false) == 100 * Self.millisecond)
        for _ in 0..<100 { plan.answered(after: 50 * Self.millisecond, isSignature: true) }
        let patience = plan.patience(within: 2000 * Self.millisecond, withOthers: false)
        #expect(patience >= 200 * Self.millisecond && patience <= 260 * Self.millisecond)
        #expect(plan.patience(within: 400 * Self.millisecond, withOthers: false) == 100 * Self.millisecond)
    }
}

extension HolderSelection {
    fileprivate func choose(excluding tried: Set<Int>, now: Int64) -> Int? {
        self.choose(now: now) { tried.contains($0) }
    }
}
