import Admission
import Testing

@Suite struct RatesTests {
    private static let second: UInt64 = 1_000_000_000

    private func network(_ number: Int) -> ClientNetwork {
        ClientNetwork(IPAddress("10.0.\(number / 256).\(number % 256)"))
    }

    @Test func eachClientHasItsOwnRate() {
        var rates = ClientRates(perSecond: 2, burst: 4, now: 0)
        let first = (0..<10).map { _ in rates.take(self.network(1), now: 0) }
        check(first.filter { $0 }.count == 4)
        check(rates.take(self.network(2), now: 0))
        let later = (0..<10).map { _ in rates.take(self.network(1), now: Self.second) }
        check(later.filter { $0 }.count == 2)
    }

    @Test func aFullTableHelpsNobodyToAFreshBurst() {
        var rates = ClientRates(perSecond: 1, burst: 2, capacity: 8, now: 0)
        while rates.take(self.network(0), now: 0) {}
        var taken = 0
        for number in 1..<2000 where rates.take(self.network(number), now: 1) { taken += 1 }
        check(rates.count == 8)
        // Seven that are remembered, and what all others have together.
        check(taken == 7 + 2 * 16)
        check(!rates.take(self.network(0), now: 2))
    }

    @Test func networksThatRestAreForgotten() {
        var rates = ClientRates(perSecond: 1, burst: 2, capacity: 8, now: 0)
        for number in 0..<8 { _ = rates.take(self.network(number), now: 0) }
        for number in 8..<16 { check(rates.take(self.network(number), now: 10 * Self.second)) }
        check(rates.count == 8)
    }

    @Test func networksTakeTurnsInALine() {
        var line = FairLine<Int>(capacity: 100, patience: 10)
        for id in 0..<10 { _ = line.join(id, from: self.network(1), now: 0) }
        _ = line.join(100, from: self.network(2), now: 1)
        _ = line.join(101, from: self.network(2), now: 1)
        _ = line.join(200, from: self.network(3), now: 1)
        let order = (0..<6).compactMap { _ in line.next() }
        check(order == [0, 100, 200, 1, 101, 2])
        check(line.deadline == 10)
        check(line.expired(now: 10) == [3, 4, 5, 6, 7, 8, 9])
        check(line.count == 0 && line.deadline == nil && line.next() == nil)
    }

    @Test func aFullLineMakesRoomForWhoHasFewer() {
        var line = FairLine<Int>(capacity: 4, patience: 10)
        for id in 0..<4 { _ = line.join(id, from: self.network(1), now: 0) }
        check(line.join(4, from: self.network(1), now: 0) == .full)
        check(line.join(5, from: self.network(2), now: 0) == .inPlaceOf(3))
        check(line.join(6, from: self.network(2), now: 0) == .inPlaceOf(2))
        check(line.join(7, from: self.network(2), now: 0) == .full)
        line.leave(0)
        check(line.join(8, from: self.network(3), now: 0) == .waiting)
        check(line.count == 4)
    }

    @Test func aTurnstileLetsTheRateThroughInFairTurns() {
        var turnstile = Turnstile<Int>(capacity: 100, patience: 3 * Self.second)
        check(turnstile.enter(0, from: self.network(1), now: 0) == .pass)
        turnstile.setRate(10, now: 0)
        let passed = (1...20).filter { turnstile.enter($0, from: self.network(1), now: 0) == .pass }
        check(passed.count == 5)
        check(turnstile.enter(50, from: self.network(2), now: 0) == .wait)
        check(turnstile.wake == Self.second / 10)
        var through: [Int] = []
        for tenth in 1...4 {
            through += turnstile.advance(now: UInt64(tenth) * Self.second / 10 + 1).passing
        }
        // One client with many waiting, and one with one.
        check(through == [6, 50, 7, 8])
        turnstile.usedUp(now: Self.second / 2)
        let late = turnstile.advance(now: 3 * Self.second)
        check(late.expired.count == 12 && late.passing.isEmpty)
        check(turnstile.wake == nil)
    }

    /// Nothing comes of waking up before those who wait have waited too long.
    @Test func aRateOfNothingWakesOnlyForPatience() {
        var turnstile = Turnstile<Int>(capacity: 1, patience: 5)
        turnstile.setRate(0, now: 1)
        check(turnstile.enter(1, from: self.network(1), now: 1) == .pass)
        check(turnstile.enter(2, from: self.network(1), now: 1) == .wait)
        check(turnstile.wake == 6)
    }

    @Test func withoutARateNobodyWaits() {
        var turnstile = Turnstile<Int>(capacity: 1, patience: 1)
        turnstile.setRate(1, now: 0)
        _ = turnstile.enter(1, from: self.network(1), now: 0)
        check(turnstile.enter(2, from: self.network(1), now: 0) == .wait)
        check(turnstile.enter(3, from: self.network(1), now: 0) == .turnedAway)
        turnstile.setRate(nil, now: 0)
        check(turnstile.advance(now: 0).passing == [2])
        check(turnstile.enter(4, from: self.network(1), now: 0) == .pass)
    }

    @Test func linesBeyondTheBudgetAreCounted() {
        var budget = LineBudget(perSecond: 1, burst: 3, now: 0)
        check((0..<5).map { _ in budget.ask(now: 0) } == [0, 0, 0, nil, nil])
        check(budget.ask(now: Self.second) == 2)
        check(budget.ask(now: Self.second) == nil)
        check(budget.takeLeftOut() == 1)
        check(budget.takeLeftOut() == 0)
    }
}

/// An expectation cannot change a value; an argument can.
func check(_ value: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(value, sourceLocation: sourceLocation)
}
