import KeyProtocol
import Testing

@testable import PeerLink

@Suite struct ReconnectPlanTests {
    @Test func brokenConnectionsAreMadeAnewSoonAndRefusedOnesSeldom() {
        var plan = ReconnectPlan()
        #expect(
            (0..<8).map { _ in plan.next(after: .lost("gone"), random: 1) } == [
                100, 200, 400, 800, 1600, 3200, 5000, 5000,
            ])
        let refusals: [Int64] = (0..<10).map { _ in plan.next(after: .refused(.noGrant), random: 1) }
        #expect(refusals == [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 180_000, 180_000])
        #expect(plan.next(after: .formerRevision, random: 0) == 90_000)
        plan.served()
        #expect(plan.next(after: .refused(.noGrant), random: 1) == 1000)
        #expect(plan.next(after: .closed("silence"), random: 1) == 100)
    }
}
