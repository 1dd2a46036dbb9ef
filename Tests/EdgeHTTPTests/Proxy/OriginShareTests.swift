import Admission
import Testing

@testable import EdgeHTTP

@Suite struct OriginShareTests {
    private static func network(_ number: UInt32) -> ClientNetwork { ClientNetwork(.v4(number)) }

    private static func share(connections: Int, perClient: Int, waiting: Int = 10) -> OriginShare {
        OriginShare(connections: connections, perClient: perClient, waiting: waiting, patience: 1000)
    }

    @Test func countsConnectionsAndServesTheFirstWaiterFirst() {
        var share = Self.share(connections: 2, perClient: 1, waiting: 2)
        var id: UInt64 = 0
        func enter() -> OriginShare.Entry {
            id += 1
            return share.enter(id, from: nil, now: 0)
        }
        #expect(enter() == .go(.connect))
        #expect(enter() == .go(.connect))
        #expect(enter() == .wait)
        #expect(enter() == .wait)
        #expect(enter() == .overloaded)
        let (left, again) = (share.leave(3), share.leave(3))
        #expect(left && !again)
        #expect(enter() == .wait)
        share.gone(nil)
        #expect(share.isDue)
        let first = share.next()
        #expect(first?.id == 4 && first?.step == .connect)
        let none = share.next()
        #expect(none?.id == nil && !share.isDue)
        share.ended(nil)
        let second = share.next()
        #expect(second?.id == 6 && second?.step == .reuse)
        share.gone(nil)
        #expect(enter() == .go(.connect))
        #expect(enter() == .wait)
    }

    @Test func aNetworkHasItsShareOnceHalfAreInUse() {
        var share = Self.share(connections: 8, perClient: 2)
        let (one, two, three) = (Self.network(1), Self.network(2), Self.network(3))
        var entries: [OriginShare.Entry] = []
        for id in UInt64(1)...5 { entries.append(share.enter(id, from: one, now: 0)) }
        #expect(entries == [.go(.connect), .go(.connect), .go(.connect), .go(.connect), .wait])
        #expect(share.isOverShare(one) && !share.isOverShare(two) && !share.isOverShare(nil))
        entries = []
        for id in UInt64(6)...8 { entries.append(share.enter(id, from: two, now: 0)) }
        #expect(entries == [.go(.connect), .go(.connect), .wait])
        // It has four, and may have two: neither of these ends lets it go on.
        share.ended(one)
        let after = share.next()
        share.ended(two)
        let other = share.next()
        let no = share.next()
        #expect(after?.id == nil && other?.id == 8 && no?.id == nil)
        // An idle connection is for those who may go on.
        let (mine, theirs) = (share.reuse(for: one), share.reuse(for: three))
        #expect(!mine && theirs)
        share.ended(one)
        share.ended(one)
        let last = share.next()
        #expect(last?.id == 5 && last?.step == .reuse)
    }

    @Test func networksTakeTurns() {
        var share = Self.share(connections: 1, perClient: 1)
        let (one, two) = (Self.network(1), Self.network(2))
        let first = share.enter(1, from: one, now: 0)
        #expect(first == .go(.connect))
        for id in UInt64(2)...4 { _ = share.enter(id, from: one, now: 0) }
        for id in UInt64(5)...6 { _ = share.enter(id, from: two, now: 0) }
        var order: [UInt64] = []
        var running = one
        for _ in 0..<5 {
            share.ended(running)
            guard let next = share.next() else { break }
            order.append(next.id)
            running = next.id < 5 ? one : two
        }
        #expect(order == [2, 5, 3, 6, 4])
    }

    @Test func aFullLineMakesRoomForNetworksWithFewer() {
        var share = Self.share(connections: 1, perClient: 1, waiting: 2)
        for id in UInt64(1)...3 { _ = share.enter(id, from: Self.network(1), now: 0) }
        let more = share.enter(4, from: Self.network(1), now: 0)
        #expect(more == .overloaded)
        let other = share.enter(5, from: Self.network(2), now: 500)
        #expect(other == .waitInPlaceOf(3))
        #expect(share.deadline == 1000)
        let (early, late) = (share.expired(now: 999), share.expired(now: 1000))
        #expect(early.isEmpty && late == [2])
    }

    /// What comes while a free connection has not been given away yet does not overtake those who wait.
    @Test func newRequestsDoNotOvertake() {
        var share = Self.share(connections: 1, perClient: 1)
        _ = share.enter(1, from: nil, now: 0)
        _ = share.enter(2, from: nil, now: 0)
        share.gone(nil)
        let late = share.enter(3, from: nil, now: 0)
        let next = share.next()
        #expect(late == .wait && next?.id == 2)
    }

    @Test func aRetryPrefersANewConnection() {
        var share = Self.share(connections: 2, perClient: 1)
        _ = share.enter(1, from: nil, now: 0)
        share.ended(nil)
        let retry = share.enter(2, from: nil, prefersNew: true, now: 0)
        #expect(retry == .go(.connect))
        let full = share.enter(3, from: nil, prefersNew: true, now: 0)
        #expect(full == .go(.reuse))
    }
}
