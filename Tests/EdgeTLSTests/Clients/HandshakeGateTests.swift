import Admission
import MetricsTestKit
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import TestWire
import Testing

@testable import EdgeTLS

@Suite struct HandshakeGateTests {
    private let metrics = TestMetrics()
    private let loop = EmbeddedEventLoop()
    private let start = NIODeadline.now()

    private func gate(perClient: Int = 1000, waiting: Int = 1024) -> HandshakeGate {
        var bounds = HandshakeGate.Bounds()
        bounds.perClient = perClient
        bounds.waiting = waiting
        return HandshakeGate(bounds, clock: self.loop, now: self.start, metrics: self.metrics)
    }

    private func enter(
        _ gate: HandshakeGate, _ network: ClientNetwork, _ now: NIODeadline, site: String = "www.test",
        _ urgency: Urgency = .beginning
    ) -> HandshakeGate.Entry {
        let errand = HandshakeGate.Errand(keyHolder: "home", site: site, network: network, urgency: urgency)
        return gate.enter(errand, on: self.loop, now: now)
    }

    private func network(_ number: Int) -> ClientNetwork { ClientNetwork(IPAddress("192.0.2.\(number)")) }

    private func turnedAway(_ refusal: HandshakeGate.Refusal) throws -> Int64 {
        try self.metrics.expectCounter(
            "latchstring_edge_handshakes_turned_away_total", [("reason", refusal.rawValue)]
        ).totalValue
    }

    /// What becomes of those who enter at once: passed, turned away, and the futures of those who wait.
    private struct Crowd {
        var passed = 0
        var refused = 0
        var waiting: [EventLoopFuture<KeyPermit>] = []
        /// Nil: the key holder answers at once.
        var permits: [KeyPermit]?

        mutating func add(_ entry: HandshakeGate.Entry) {
            switch entry {
            case .pass(let permit):
                self.passed += 1
                self.permits?.append(permit)
                if self.permits == nil { permit.end(.void) }
            case .refused: self.refused += 1
            case .wait(_, let future):
                self.waiting.append(future)
                if self.permits == nil { future.whenSuccess { $0.end(.void) } }
            }
        }
    }

    /// The figures of the issue: one address with 2,000 hellos a second, and 80 others.
    @Test func oneClientDoesNotUseUpWhatTheOthersNeed() throws {
        let gate = self.gate(perClient: 50)
        gate.setRate(100, for: "www.test", at: "home", now: self.start)
        var attacker = Crowd()
        var others = Crowd()
        for step in 0..<2000 {
            let now = self.start + .microseconds(Int64(step) * 500)
            attacker.add(self.enter(gate, self.network(1), now))
            if step % 25 == 0 {
                others.add(self.enter(gate, self.network(2 + step / 25), now))
            }
        }
        #expect(others.refused == 0 && others.passed + others.waiting.count == 80)
        // Its burst and its rate, of which most wait.
        #expect(attacker.passed + attacker.waiting.count <= 250)
        #expect(try self.turnedAway(.clientRate) == Int64(attacker.refused))
        // Those that wait get a turn for each of the attacker's at the latest.
        let served = ManagedCounter()
        for future in others.waiting { future.whenSuccess { _ in served.increment() } }
        for step in 1...300 {
            gate.setRate(
                nil, for: "other.test", at: "home", now: self.start + .seconds(1) + .milliseconds(Int64(step) * 10))
        }
        self.loop.run()
        #expect(others.passed + served.value == 80)
    }

    @Test func whoLeavesTakesNoTurn() throws {
        let gate = self.gate()
        gate.setRate(2, for: "www.test", at: "home", now: self.start)
        var crowd = Crowd()
        var ids: [UInt64] = []
        for number in 1...4 {
            let entry = self.enter(gate, self.network(number), self.start)
            if case .wait(let id, _) = entry { ids.append(id) }
            crowd.add(entry)
        }
        #expect(crowd.passed == 1 && crowd.waiting.count == 3)
        gate.leave(ids[0])
        gate.leave(ids[0])
        let order = NIOLockedValueBox<[Int]>([])
        for (index, future) in crowd.waiting.enumerated() {
            future.whenSuccess { _ in order.withLockedValue { $0.append(index) } }
        }
        gate.setRate(2, for: "other.test", at: "home", now: self.start + .milliseconds(501))
        self.loop.run()
        #expect(order.withLockedValue { $0 } == [1])
        gate.leave(ids[1])
        gate.leave(ids[2])
        self.loop.run()
        #expect(try self.metrics.expectMeter("latchstring_edge_handshakes_waiting").lastValue == 0)
    }

    @Test func patienceEnds() throws {
        let gate = self.gate()
        gate.setRate(1, for: "www.test", at: "home", now: self.start)
        var crowd = Crowd()
        for number in 1...10 {
            crowd.add(self.enter(gate, self.network(number), self.start))
        }
        let refused = ManagedCounter()
        for future in crowd.waiting { future.whenFailure { _ in refused.increment() } }
        for second in 1...4 {
            gate.setRate(2, for: "other.test", at: "home", now: self.start + .seconds(Int64(second)))
        }
        self.loop.run()
        #expect(refused.value >= 6)
        #expect(try self.turnedAway(.waitedInVain) == Int64(refused.value))
    }

    @Test func aBoundOnThoseWhoWait() throws {
        let gate = self.gate(waiting: 5)
        gate.setRate(1, for: "www.test", at: "home", now: self.start)
        var crowd = Crowd()
        for number in 1...10 {
            crowd.add(self.enter(gate, self.network(number), self.start))
        }
        #expect(crowd.passed == 1 && crowd.waiting.count == 5 && crowd.refused == 4)
        #expect(try self.turnedAway(.lineFull) == 4)
        for future in crowd.waiting { future.whenFailure { _ in } }
        gate.setRate(nil, for: "www.test", at: "home", now: self.start)
        self.loop.run()
    }

    /// Whether a hello resumes anything shows only when the flight is made.
    @Test func hellosThatOfferToResumeHaveARate() {
        let gate = self.gate(perClient: 1)
        #expect((0..<100).filter { _ in gate.mayResume(self.network(1), now: self.start) }.count == 16)
        #expect((0..<100).filter { _ in gate.mayResume(self.network(1), now: self.start + .seconds(1)) }.count == 4)
        // Of another network, and what asks the key holder, are counted by themselves.
        #expect(gate.mayResume(self.network(2), now: self.start))
        #expect(gate.mayBegin(self.network(1), now: self.start))
        #expect((0..<100).allSatisfy { _ in gate.mayResume(.exempt(IPAddress("192.0.2.9")), now: self.start) })
    }

    @Test func exemptClientsHaveNoRateOfTheirOwn() {
        let gate = self.gate(perClient: 1)
        var crowd = Crowd()
        for _ in 0..<100 { crowd.add(self.enter(gate, .exempt(IPAddress("192.0.2.9")), self.start)) }
        #expect(crowd.passed == 100)
        #expect((0..<5).filter { _ in gate.mayBegin(self.network(1), now: self.start) }.count == 4)
    }

    // MARK: A key holder with more to do than it can

    @Test func moreThanAKeyHolderAnswersSoonWaitsHere() throws {
        let gate = self.gate(waiting: 1000)
        // No site has more than half of the room; two have all.
        var half = Crowd(permits: [])
        for _ in 0..<64 { half.add(self.enter(gate, self.network(9), self.start, site: "half.test")) }
        #expect(half.passed == 64)
        var crowd = Crowd(permits: [])
        for _ in 0..<300 { crowd.add(self.enter(gate, self.network(1), self.start)) }
        #expect(crowd.passed == 64 && crowd.waiting.count == 236 && crowd.refused == 0)
        // Another site's client is next, and what goes on with a handshake comes before what begins one.
        let order = NIOLockedValueBox<[String]>([])
        func note(_ entry: HandshakeGate.Entry, _ name: String) {
            guard case .wait(_, let future) = entry else { return #expect(Bool(false), "\(name) does not wait") }
            future.whenSuccess { permit in
                order.withLockedValue { $0.append(name) }
                permit.end(.answered, now: self.start)
            }
        }
        note(self.enter(gate, self.network(2), self.start, site: "other.test"), "other site")
        note(self.enter(gate, self.network(3), self.start, .underWay), "goes on")
        note(self.enter(gate, self.network(4), self.start), "other client")
        for future in crowd.waiting {
            future.whenSuccess { permit in
                order.withLockedValue { $0.append("flood") }
                permit.end(.answered, now: self.start)
            }
        }
        crowd.permits?[0].end(.answered, now: self.start + .milliseconds(1))
        crowd.permits?[0].end(.answered, now: self.start + .milliseconds(1))
        self.loop.run()
        #expect(order.withLockedValue { Array($0.prefix(4)) } == ["goes on", "other site", "flood", "other client"])
        #expect(half.permits?.count == 64)
    }

    @Test func whatIsDroppedGivesItsRoomBack() {
        let gate = self.gate()
        var crowd = Crowd(permits: [])
        for _ in 0..<65 { crowd.add(self.enter(gate, self.network(1), self.start)) }
        let served = ManagedCounter()
        for future in crowd.waiting { future.whenSuccess { _ in served.increment() } }
        self.loop.run()
        #expect(crowd.waiting.count == 1 && served.value == 0)
        crowd.permits?.removeFirst()
        self.loop.run()
        #expect(served.value == 1)
    }

    @Test func aKeyHolderThatIsGoneHoldsUpNoOther() {
        let gate = self.gate()
        var crowd = Crowd(permits: [])
        for _ in 0..<200 { crowd.add(self.enter(gate, self.network(1), self.start)) }
        let errand = HandshakeGate.Errand(
            keyHolder: "elsewhere", site: "b", network: self.network(1), urgency: .beginning)
        var others = Crowd()
        others.add(gate.enter(errand, on: self.loop, now: self.start))
        #expect(crowd.passed == 64 && others.passed == 1)
        for future in crowd.waiting { future.whenFailure { _ in } }
        crowd.permits = []
        self.loop.run()
    }
}
