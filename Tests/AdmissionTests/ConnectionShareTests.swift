import Admission
import TestSockets
import Testing

@Suite struct ConnectionShareTests {
    private func network(_ text: String) -> ClientNetwork { ClientNetwork(IPAddress(text)) }

    /// By reference: an expectation cannot change a value.
    private final class Share {
        private var share: ConnectionShare
        var resting: Set<UInt64> = []
        init(total: Int, perClient: Int) { self.share = ConnectionShare(total: total, perClient: perClient) }
        var count: Int { self.share.count }
        func enter(
            _ id: UInt64, _ network: ClientNetwork?, _ stage: ConnectionStage = .silent
        ) -> ConnectionShare.Entry {
            let resting = self.resting
            return self.share.enter(id, from: network, stage: stage) { resting.contains($0) }
        }
        func move(_ id: UInt64, to stage: ConnectionStage) { self.share.move(id, to: stage) }
        func leave(_ id: UInt64) { self.share.leave(id) }
        func setBounds(total: Int, perClient: Int) { self.share.setBounds(total: total, perClient: perClient) }
    }

    @Test func oneClientCannotHoldAll() {
        let share = Share(total: 100, perClient: 10)
        let greedy = self.network("192.0.2.1")
        for id in 1...10 { #expect(share.enter(UInt64(id), greedy) == .admitted) }
        // Its own oldest one gives way to its next.
        #expect(share.enter(11, greedy) == .inPlaceOf(1, .silent))
        #expect(share.count == 10)
        for id in 2...11 { share.move(UInt64(id), to: .established) }
        #expect(share.enter(12, greedy) == .refused(.client))
        #expect(share.enter(13, self.network("192.0.2.2")) == .admitted)
        share.leave(5)
        #expect(share.enter(14, greedy) == .admitted)
    }

    /// Who is the oldest does not depend on where the records of those before stood.
    @Test func theOrderHoldsWhileRecordsAreUsedAgain() {
        let share = Share(total: 8, perClient: 8)
        let networks = [self.network("192.0.2.1"), self.network("192.0.2.2")]
        var open: [UInt64] = []
        var state: UInt64 = 1
        for id in UInt64(1)...5000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            let choice = Int(state >> 33)
            if choice % 3 == 0, !open.isEmpty {
                share.leave(open.remove(at: choice / 3 % open.count))
            }
            if choice % 5 == 0, let any = open.first { share.move(any, to: .silent) }
            switch share.enter(id, networks[0]) {
            case .admitted: open.append(id)
            case .inPlaceOf(let oldest, let stage):
                #expect(oldest == open[0] && stage == .silent && open.count == 8)
                open.removeFirst()
                open.append(id)
            case .refused: #expect(Bool(false), "a silent one gives way")
            }
            #expect(share.count == open.count)
        }
        for id in open { share.leave(id) }
        #expect(share.count == 0 && share.enter(9000, networks[1]) == .admitted)
    }

    @Test func otherBoundsAreForThoseWhoComeLater() {
        let share = Share(total: 100, perClient: 10)
        let greedy = self.network("192.0.2.1")
        for id in 1...10 {
            #expect(share.enter(UInt64(id), greedy) == .admitted)
            share.move(UInt64(id), to: .established)
        }
        share.setBounds(total: 100, perClient: 5)
        #expect(share.count == 10)
        #expect(share.enter(11, greedy) == .refused(.client))
        share.setBounds(total: 100, perClient: 12)
        #expect(share.enter(12, greedy) == .admitted && share.enter(13, greedy) == .admitted)
        #expect(share.enter(14, greedy) == .inPlaceOf(12, .silent))
    }

    /// One sender may have as many networks as a /48 has.
    @Test func theNetworksOfABlockShareABound() {
        let share = Share(total: 100, perClient: 10)
        for id in 1...20 { #expect(share.enter(UInt64(id), self.network("2001:db8:1:\(id)::1")) == .admitted) }
        guard case .inPlaceOf = share.enter(21, self.network("2001:db8:1:21::1")) else {
            return #expect(Bool(false), "none gave way")
        }
        #expect(share.count == 20)
        // Other blocks and IPv4 addresses are not concerned.
        #expect(share.enter(30, self.network("2001:db8:2:1::1")) == .admitted)
        #expect(share.enter(31, self.network("192.0.2.1")) == .admitted)
        for id in 1...21 { share.move(UInt64(id), to: .established) }
        #expect(share.enter(32, self.network("2001:db8:1:99::1")) == .refused(.client))
        for id in 1...21 { share.leave(UInt64(id)) }
        #expect(share.enter(33, self.network("2001:db8:1:99::1")) == .admitted)
    }

    /// It has the same address as the block.
    @Test func theFirstNetworkOfABlockCountsInIt() {
        let share = Share(total: 100, perClient: 3)
        for id in 1...3 { #expect(share.enter(UInt64(id), self.network("2001:db8:1::1"), .established) == .admitted) }
        for id in 4...6 {
            #expect(share.enter(UInt64(id), self.network("2001:db8:1:\(id)::1"), .established) == .admitted)
        }
        #expect(share.enter(7, self.network("2001:db8:1:7::1")) == .refused(.client))
    }

    @Test func inABlockTheNetworkWithMostGivesWay() {
        let share = Share(total: 100, perClient: 3)
        for id in 1...3 { #expect(share.enter(UInt64(id), self.network("2001:db8:1:1::1")) == .admitted) }
        for id in 4...6 { #expect(share.enter(UInt64(id), self.network("2001:db8:1:\(id)::1")) == .admitted) }
        #expect(share.enter(7, self.network("2001:db8:1:7::1")) == .inPlaceOf(1, .silent))
    }

    /// How long it takes to let in connections, each of them while there is no room.
    private func time(_ count: Int, _ body: (Int) -> Void) -> Duration {
        processorTime { for number in 0..<count { body(number) } }
    }

    @Test func whatAFullBlockCostsDoesNotGrowWithItsNetworks() {
        func cost(networks: Int) -> Duration {
            let share = Share(total: 2 * networks, perClient: networks / 2)
            for id in 0..<networks {
                _ = share.enter(UInt64(id), self.network("2001:db8:1:\(String(id, radix: 16))::1"))
            }
            let own = self.network("2001:db8:1:ffff::1")
            return self.time(2000) { share.enter(UInt64(networks + $0), own).expectVictim() }
        }
        #expect(cost(networks: 60_000) < cost(networks: 50) * 20)
    }

    /// One network with many that work, and the others with one each: what lies between are no networks.
    @Test func whatAFullEdgeCostsDoesNotGrowWithWhatOneNetworkHas() {
        func cost(most: Int) -> Duration {
            let share = Share(total: most + 100, perClient: most)
            let one = self.network("192.0.2.1")
            for id in 0..<most { _ = share.enter(UInt64(id), one, .established) }
            for id in 0..<100 { _ = share.enter(UInt64(most + id), self.network("198.51.100.\(id)")) }
            let newcomer = self.network("203.0.113.1")
            return self.time(2000) {
                if case .refused = share.enter(UInt64(most + 100 + $0), newcomer) { return }
                share.leave(UInt64(most + 100 + $0))
                _ = share.enter(UInt64(most + 10_000 + $0), self.network("198.51.100.1"))
            }
        }
        #expect(cost(most: 20_000) < cost(most: 50) * 20)
    }

    @Test func exemptConnectionsHaveNoBoundOfTheirOwn() {
        let share = Share(total: 20, perClient: 2)
        for id in 1...20 { #expect(share.enter(UInt64(id), .exempt(IPAddress("192.0.2.1"))) == .admitted) }
        #expect(share.count == 20)
    }

    @Test func whoHasMostGivesWayFirst() {
        let share = Share(total: 6, perClient: 6)
        let one = self.network("192.0.2.1")
        let other = self.network("192.0.2.2")
        #expect(share.enter(1, other) == .admitted)
        for id in 2...6 { #expect(share.enter(UInt64(id), one) == .admitted) }
        share.move(2, to: .shaking)
        // The oldest without a hello goes before the older one in its handshake.
        #expect(share.enter(7, other) == .inPlaceOf(3, .silent))
        #expect(share.enter(8, self.network("192.0.2.3")) == .inPlaceOf(4, .silent))
    }

    @Test func stagesGiveWayInOrderAndWorkNever() {
        let share = Share(total: 3, perClient: 3)
        let one = self.network("192.0.2.1")
        let newcomer = self.network("192.0.2.9")
        for id in 1...3 { _ = share.enter(UInt64(id), one) }
        share.move(1, to: .established)
        share.move(2, to: .shaking)
        share.move(3, to: .established)
        #expect(share.enter(4, newcomer) == .inPlaceOf(2, .shaking))
        share.move(4, to: .established)
        #expect(share.enter(5, self.network("192.0.2.8")) == .refused(.total))
        share.resting = [3]
        #expect(share.enter(6, self.network("192.0.2.8")) == .inPlaceOf(3, .established))
    }

    @Test func aNetworkDoesNotDisplaceOneThatHasNoMore() {
        let share = Share(total: 4, perClient: 4)
        let one = self.network("192.0.2.1")
        let other = self.network("2001:db8::1")
        _ = share.enter(1, one)
        _ = share.enter(2, one)
        _ = share.enter(3, other)
        _ = share.enter(4, other)
        // Its own goes, though the other's is older.
        #expect(share.enter(5, self.network("2001:db8::2")) == .inPlaceOf(3, .silent))
        share.move(4, to: .established)
        share.move(5, to: .established)
        #expect(share.enter(6, other) == .refused(.total))
    }

    @Test func exemptConnectionsHaveNoBoundAndGiveWayToEachOtherOnly() {
        let share = Share(total: 4, perClient: 1)
        for id in 1...3 { #expect(share.enter(UInt64(id), nil) == .admitted) }
        #expect(share.enter(4, self.network("192.0.2.1")) == .admitted)
        #expect(share.enter(5, nil) == .inPlaceOf(1, .silent))
        #expect(share.enter(6, self.network("192.0.2.2")) == .inPlaceOf(4, .silent))
        share.move(6, to: .established)
        #expect(share.enter(7, self.network("192.0.2.3")) == .refused(.total))
    }

    @Test func manyNetworksWithOneEachGiveWayOldestFirst() {
        let share = Share(total: 10, perClient: 5)
        for id in 1...10 { _ = share.enter(UInt64(id), self.network("192.0.2.\(id)")) }
        for id in 1...9 { share.move(UInt64(id), to: .established) }
        #expect(share.enter(11, self.network("198.51.100.1")) == .inPlaceOf(10, .silent))
        #expect(share.count == 10)
    }

    @Test func eventsOfConnectionsThatAreGoneChangeNothing() {
        let share = Share(total: 2, perClient: 2)
        share.leave(9)
        share.move(9, to: .shaking)
        _ = share.enter(1, nil)
        share.leave(1)
        share.leave(1)
        #expect(share.count == 0)
    }

    /// Against the simplest possible bookkeeping, over many random events.
    @Test func countsAreRightAfterAnything() {
        var random = SystemRandomNumberGenerator()
        let share = Share(total: 20, perClient: 6)
        var open: [UInt64: Int] = [:]
        var next: UInt64 = 0
        for _ in 0..<20_000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                next += 1
                let client = Int.random(in: 0..<6, using: &random)
                switch share.enter(next, self.network("192.0.2.\(client)")) {
                case .admitted: open[next] = client
                case .inPlaceOf(let victim, _):
                    #expect(open.removeValue(forKey: victim) != nil)
                    open[next] = client
                case .refused: break
                }
            case 2:
                if let id = open.keys.randomElement(using: &random) {
                    share.move(id, to: ConnectionStage.allCases.randomElement(using: &random) ?? .silent)
                    if Bool.random(using: &random) { share.resting.insert(id) } else { share.resting.remove(id) }
                }
            default:
                if let id = open.keys.randomElement(using: &random) {
                    share.leave(id)
                    open[id] = nil
                }
            }
            #expect(share.count == open.count && open.count <= 20)
            let most = Dictionary(grouping: open.values) { $0 }.values.map(\.count).max() ?? 0
            #expect(most <= 6)
        }
    }
}

extension ConnectionShare.Entry {
    fileprivate func expectVictim(sourceLocation: SourceLocation = #_sourceLocation) {
        if case .inPlaceOf = self { return }
        Issue.record("none gave way", sourceLocation: sourceLocation)
    }
}
