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

    @Test func anotherRateIsInForceAtOnce() {
        var rates = ClientRates(perSecond: 2, burst: 4, now: 0)
        while rates.take(self.network(1), now: 0) {}
        // The same again gives nothing back.
        rates.setRate(perSecond: 2, burst: 4, now: 0)
        check(!rates.take(self.network(1), now: 0))
        rates.setRate(perSecond: 10, burst: 3, now: 0)
        check((0..<10).filter { _ in rates.take(self.network(1), now: 0) }.count == 3)
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

    /// One sender may have as many networks as a /48 has.
    @Test func theNetworksOfABlockHaveOneTurn() {
        func network(_ block: Int, _ number: Int) -> ClientNetwork {
            ClientNetwork(IPAddress("2001:db8:\(block):\(number)::1"))
        }
        var line = FairLine<Int>(capacity: 12, patience: 10)
        for id in 0..<10 { check(line.join(id, from: network(1, id + 1), now: 0) == .waiting) }
        check(line.ahead(of: network(2, 1)) == 1 && line.ahead(of: network(1, 99)) == 10)
        check(line.join(100, from: network(2, 1), now: 0) == .waiting)
        check(line.join(101, from: network(2, 1), now: 0) == .waiting)
        check(line.join(102, from: network(2, 2), now: 0) == .inPlaceOf(9) || line.count == 12)
        check(line.join(200, from: self.network(1), now: 0) != .full)
        check(line.join(300, from: network(1, 99), now: 0) == .full)
        let order = (0..<6).compactMap { _ in line.next() }
        check(Array(order.prefix(3)).filter { $0 >= 100 }.sorted() == [100, 200])
        check(order.filter { $0 < 100 }.count == 3)
        check(order.filter { (100...102).contains($0) }.count == 2)
    }

    @Test func exemptAddressesTakeTurnsOfTheirOwn() {
        var line = FairLine<Int>(capacity: 10, patience: 10)
        for id in 0..<5 { _ = line.join(id, from: .exempt(IPAddress("10.1.1.1")), now: 0) }
        _ = line.join(100, from: .exempt(IPAddress("10.1.1.2")), now: 0)
        check([line.next(), line.next()] == [0, 100])
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
