import Testing

@testable import KeyHolder

@Suite struct DialTargetTests {
    private static let second: Int64 = 1_000_000_000

    @Test("There are always two offers, however many the edge takes, within a rate")
    func offers() {
        var target = DialTarget(now: 0)
        var now: Int64 = 0
        #expect(target.step(now: now).dial == [1, 2])
        #expect(target.step(now: now).dial.isEmpty)
        for connection: UInt64 in [1, 2] { target.offered(connection, now: now, random: 0) }
        for taken: UInt64 in 1...30 {
            target.taken(taken)
            target.linked(taken)
            let fresh = target.step(now: now).dial
            #expect(fresh == [taken + 2])
            target.offered(taken + 2, now: now, random: 0)
        }
        #expect(target.links == 30 && target.offers == 2)
        // The burst of 32 is used up.
        target.taken(31)
        target.linked(31)
        let step = target.step(now: now)
        #expect(step.dial.isEmpty && step.at == Self.second / 10)
        now += Self.second / 10
        #expect(target.step(now: now).dial == [33])
    }

    @Test("What takes offers and proves nothing gets four at once, and then ever fewer")
    func strangers() {
        var target = DialTarget(now: 0)
        var now: Int64 = 0
        var dialled: [UInt64] = []
        for _ in 0..<10 {
            for connection in target.step(now: now).dial {
                dialled.append(connection)
                target.offered(connection, now: now, random: 1)
                target.taken(connection)
            }
        }
        #expect(dialled.count == 4)
        for round in 0..<10 {
            for connection in dialled { _ = target.ended(connection, now: now, random: 1) }
            let step = target.step(now: now)
            #expect(step.dial.isEmpty)
            let wait = (step.at ?? 0) - now
            #expect(wait >= Self.second << min(round, 5) && wait <= 60 * Self.second)
            now += wait
            dialled = target.step(now: now).dial
            #expect(dialled.count == 1)
            for connection in dialled {
                target.offered(connection, now: now, random: 1)
                target.taken(connection)
            }
        }
    }

    @Test("An address that is not reached is tried every 5 seconds at the most often, one connection at a time")
    func unreached() {
        var target = DialTarget(now: 0)
        var now: Int64 = 0
        for connection in target.step(now: now).dial { _ = target.ended(connection, now: now, random: 1) }
        for _ in 0..<12 {
            let step = target.step(now: now)
            #expect(step.dial.isEmpty)
            now = step.at ?? now
            let dialled = target.step(now: now).dial
            #expect(dialled.count == 1)
            _ = target.ended(dialled[0], now: now, random: 1)
        }
        #expect(target.step(now: now).at == now + 5 * Self.second)
    }

    @Test("An edge that restarts is dialled soon, one that does not want this key holder ever later")
    func closedOffers() {
        var target = DialTarget(now: 0)
        for connection in target.step(now: 0).dial { target.offered(connection, now: 0, random: 0) }
        let now = 2 * Self.second
        for connection: UInt64 in [1, 2] { _ = target.ended(connection, now: now, random: 1) }
        #expect(target.step(now: now).at == now + Self.second / 10)
        let again = now + Self.second / 10
        #expect(target.step(now: again).dial == [3, 4])
        target.offered(3, now: again, random: 0)
        _ = target.ended(3, now: again + 1, random: 1)
        #expect((target.step(now: again + 1).at ?? 0) >= again + Self.second)
    }

    @Test("An edge whose links came about is dialled at least every 5 seconds, however soon its offers end")
    func crowdedOut() {
        var target = DialTarget(now: 0)
        var dialled = target.step(now: 0).dial
        for connection in dialled { target.offered(connection, now: 0, random: 0) }
        target.taken(1)
        target.linked(1)
        dialled = [2] + target.step(now: 0).dial
        target.offered(3, now: 0, random: 0)
        _ = target.ended(1, now: 0, random: 1)
        var now: Int64 = 0
        for _ in 0..<20 {
            for connection in dialled { _ = target.ended(connection, now: now, random: 1) }
            let at = target.step(now: now).at ?? .max
            #expect(at - now <= 5 * Self.second)
            now = at
            dialled = target.step(now: now).dial
            #expect(dialled.count == 1)
            for connection in dialled { target.offered(connection, now: now, random: 0) }
        }
    }

    @Test("Where an edge without a grant was, one connection a minute finds out whether it still is")
    func ungranted() {
        var target = DialTarget(now: 0)
        for connection in target.step(now: 0).dial { target.offered(connection, now: 0, random: 0) }
        target.taken(1)
        #expect(target.ungranted("paris", now: 0) == [2])
        _ = target.ended(1, now: 0, random: 1)
        var now: Int64 = 0
        for _ in 0..<20 {
            let step = target.step(now: now)
            #expect(step.dial.isEmpty && step.close.isEmpty && step.at == now + 60 * Self.second)
            now = step.at ?? now
            let dialled = target.step(now: now).dial
            #expect(dialled.count == 1)
            for connection in dialled {
                target.offered(connection, now: now, random: 0)
                target.taken(connection)
                #expect(target.step(now: now).dial.isEmpty)
                #expect(target.ungranted("paris", now: now).isEmpty)
                _ = target.ended(connection, now: now, random: 1)
            }
        }
        #expect(target.ungranted == "paris")
        target.granted()
        #expect(target.step(now: now).dial.count == 2)
    }

    @Test("An edge with a grant is served as ever once it is at the address again")
    func grantedAgain() {
        var target = DialTarget(now: 0)
        for connection in target.step(now: 0).dial { target.offered(connection, now: 0, random: 0) }
        target.taken(1)
        _ = target.ungranted("stranger", now: 0)
        _ = target.ended(1, now: 0, random: 1)
        let now = 60 * Self.second
        #expect(target.step(now: now).dial == [3])
        target.offered(3, now: now, random: 0)
        target.taken(3)
        target.linked(3)
        #expect(target.ungranted == nil && target.step(now: now).dial.count == 2)
        #expect(target.links == 1)
    }

    @Test("Offers are made anew before a firewall forgets them, and by order; links stay")
    func renewal() {
        var target = DialTarget(now: 0)
        for connection in target.step(now: 0).dial { target.offered(connection, now: 0, random: 0.5) }
        target.taken(1)
        target.linked(1)
        #expect(target.step(now: 0).dial == [3])
        target.offered(3, now: 0, random: 1)
        #expect(target.step(now: 59 * Self.second).close.isEmpty)
        let step = target.step(now: 60 * Self.second)
        #expect(step.close == [2] && step.dial == [4])
        // Nothing is held against the edge.
        #expect(target.ended(2, now: 60 * Self.second, random: 1) == nil)
        #expect(target.takeOffers().sorted() == [3, 4])
        #expect(target.links == 1)
        #expect(target.step(now: 60 * Self.second).dial.count == 2)
        #expect(target.stop().count == 2)
        #expect(target.step(now: 90 * Self.second) == DialTarget.Step())
    }
}
