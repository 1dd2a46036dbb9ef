import Testing

@testable import PeerLink

@Suite struct BackOffTests {
    @Test func doublesUpToTheCeilingAndStartsAnewAfterSuccess() {
        var backOff = BackOff(first: 100, ceiling: 1000)
        #expect((0..<6).map { _ in backOff.next(random: 1) } == [100, 200, 400, 800, 1000, 1000])
        backOff.reset()
        #expect(backOff.next(random: 1) == 100)
    }

    @Test func jitterKeepsBetweenHalfAndAll() {
        var backOff = BackOff(first: 100, ceiling: 1000)
        #expect(backOff.next(random: 0) == 50)
        #expect(backOff.next(random: 0.5) == 150)
    }

    @Test func neverOverflows() {
        var backOff = BackOff()
        for _ in 0..<200 { #expect(backOff.next(random: 1) <= 5000) }
    }
}

@Suite struct InFlightTests {
    @Test func answersFindTheirRequestInAnyOrderAndOnlyOnce() {
        var table = InFlight<String>(limit: 10)
        let a = table.add("a", now: 1, deadline: 100)!
        let b = table.add("b", now: 2, deadline: 100)!
        #expect(a != b)
        #expect(table.take(b)?.waiter == "b")
        #expect(table.take(b) == nil)
        #expect(table.take(a)?.sentAt == 1)
        #expect(table.count == 0)
        #expect(table.nextDeadline == nil)
    }

    @Test func refusesBeyondTheLimit() {
        var table = InFlight<Int>(limit: 2)
        #expect(table.add(1, now: 0, deadline: 9) != nil)
        #expect(table.add(2, now: 0, deadline: 9) != nil)
        #expect(table.add(3, now: 0, deadline: 9) == nil)
        #expect(table.add(4, now: 0, deadline: 9, exempt: true) != nil)
    }

    @Test func expiresInOrderOfDeadlineWhateverTheOrderOfAdding() {
        var table = InFlight<String>(limit: 10)
        _ = table.add("late", now: 0, deadline: 50)
        _ = table.add("early", now: 0, deadline: 20)
        let kept = table.add("last", now: 0, deadline: 70)!
        #expect(table.nextDeadline == 20)
        #expect(table.expire(now: 19).isEmpty)
        #expect(table.expire(now: 60).map(\.waiter) == ["early", "late"])
        #expect(table.nextDeadline == 70)
        #expect(table.take(kept)?.waiter == "last")
        #expect(table.expire(now: 1000).isEmpty)
    }

    @Test func idsWrapAroundPastThoseThatStillWait() {
        var table = InFlight<Int>(limit: 10, firstID: .max)
        #expect(table.add(0, now: 0, deadline: 9) == .max)
        #expect(table.add(1, now: 0, deadline: 9) == 0)
    }
}

@Suite struct PeerIdentityTests {
    @Test func readsWhatItWrites() throws {
        let identity = try PeerIdentity(role: .edge, name: "paris-1.example")
        #expect(identity.uri == "latchstring:edge:paris-1.example")
        #expect(try PeerIdentity(uri: identity.uri) == identity)
    }

    @Test(arguments: [
        "latchstring:edge:", "latchstring:edge", "latchstring:origin:a", "spiffe:edge:a", "latchstring:edge:A",
        "latchstring:edge:a b", "latchstring:edge:a:b", "",
        "latchstring:edge:" + String(repeating: "a", count: 65),
    ])
    func refusesWhatIsNone(uri: String) {
        #expect(throws: PeerIdentityError.self) { try PeerIdentity(uri: uri) }
    }
}
