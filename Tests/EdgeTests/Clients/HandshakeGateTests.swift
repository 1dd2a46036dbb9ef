import Admission
import MetricsTestKit
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import Testing

@testable import Edge

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
        var waiting: [EventLoopFuture<Void>] = []

        mutating func add(_ entry: HandshakeGate.Entry) {
            switch entry {
            case .pass: self.passed += 1
            case .refused: self.refused += 1
            case .wait(_, let future): self.waiting.append(future)
            }
        }
    }

    /// The figures of the issue: one address with 2,000 hellos a second, and 80 others.
    @Test func oneClientDoesNotUseUpWhatTheOthersNeed() throws {
        let gate = self.gate(perClient: 50)
        gate.setRate(100, for: "www.test", now: self.start)
        var attacker = Crowd()
        var others = Crowd()
        for step in 0..<2000 {
            let now = self.start + .microseconds(Int64(step) * 500)
            attacker.add(gate.enter("www.test", self.network(1), on: self.loop, now: now))
            if step % 25 == 0 {
                others.add(gate.enter("www.test", self.network(2 + step / 25), on: self.loop, now: now))
            }
        }
        #expect(others.refused == 0 && others.passed + others.waiting.count == 80)
        // Its burst and its rate, of which most wait.
        #expect(attacker.passed + attacker.waiting.count <= 250)
        #expect(try self.turnedAway(.clientRate) == Int64(attacker.refused))
        // Those that wait get a turn for each of the attacker's at the latest.
        let served = ManagedCounter()
        for future in others.waiting { future.whenSuccess { served.increment() } }
        for step in 1...300 {
            gate.setRate(nil, for: "other.test", now: self.start + .seconds(1) + .milliseconds(Int64(step) * 10))
        }
        self.loop.run()
        #expect(others.passed + served.value == 80)
    }

    @Test func whoLeavesTakesNoTurn() throws {
        let gate = self.gate()
        gate.setRate(2, for: "www.test", now: self.start)
        var crowd = Crowd()
        var ids: [UInt64] = []
        for number in 1...4 {
            let entry = gate.enter("www.test", self.network(number), on: self.loop, now: self.start)
            if case .wait(let id, _) = entry { ids.append(id) }
            crowd.add(entry)
        }
        #expect(crowd.passed == 1 && crowd.waiting.count == 3)
        gate.leave(ids[0])
        gate.leave(ids[0])
        let order = NIOLockedValueBox<[Int]>([])
        for (index, future) in crowd.waiting.enumerated() {
            future.whenSuccess { order.withLockedValue { $0.append(index) } }
        }
        gate.setRate(2, for: "other.test", now: self.start + .milliseconds(501))
        self.loop.run()
        #expect(order.withLockedValue { $0 } == [1])
        gate.leave(ids[1])
        gate.leave(ids[2])
        self.loop.run()
        #expect(try self.metrics.expectMeter("latchstring_edge_handshakes_waiting").lastValue == 0)
    }

    @Test func patienceEnds() throws {
        let gate = self.gate()
        gate.setRate(1, for: "www.test", now: self.start)
        var crowd = Crowd()
        for number in 1...10 {
            crowd.add(gate.enter("www.test", self.network(number), on: self.loop, now: self.start))
        }
        let refused = ManagedCounter()
        for future in crowd.waiting { future.whenFailure { _ in refused.increment() } }
        for second in 1...4 {
            gate.setRate(2, for: "other.test", now: self.start + .seconds(Int64(second)))
        }
        self.loop.run()
        #expect(refused.value >= 6)
        #expect(try self.turnedAway(.waitedInVain) == Int64(refused.value))
    }

    @Test func aBoundOnThoseWhoWait() throws {
        let gate = self.gate(waiting: 5)
        gate.setRate(1, for: "www.test", now: self.start)
        var crowd = Crowd()
        for number in 1...10 {
            crowd.add(gate.enter("www.test", self.network(number), on: self.loop, now: self.start))
        }
        #expect(crowd.passed == 1 && crowd.waiting.count == 5 && crowd.refused == 4)
        #expect(try self.turnedAway(.lineFull) == 4)
        for future in crowd.waiting { future.whenFailure { _ in } }
        gate.setRate(nil, for: "www.test", now: self.start)
        self.loop.run()
    }

    @Test func exemptClientsHaveNoRateOfTheirOwn() {
        let gate = self.gate(perClient: 1)
        var crowd = Crowd()
        for _ in 0..<100 { crowd.add(gate.enter("www.test", nil, on: self.loop, now: self.start)) }
        #expect(crowd.passed == 100)
        #expect((0..<5).filter { _ in gate.mayBegin(self.network(1), now: self.start) }.count == 4)
    }
}
