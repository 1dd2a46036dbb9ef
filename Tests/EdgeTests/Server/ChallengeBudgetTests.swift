import Admission
import Testing

@testable import Edge

@Suite struct ChallengeBudgetTests {
    private static let second: UInt64 = 1_000_000_000

    /// Of so many questions at once.
    private static func answered(
        _ budget: inout ChallengeBudget, _ count: Int, at second: UInt64 = 0, of network: (Int) -> ClientNetwork
    ) -> Int {
        var answered = 0
        for number in 0..<count where budget.take(network(number), now: second * Self.second) { answered += 1 }
        return answered
    }

    @Test func oneNetworkLeavesTheOthersTheirs() {
        var budget = ChallengeBudget(now: 0)
        let (greedy, authority) = (ClientNetwork(.v4(1)), ClientNetwork(.v4(0x0A00_0001)))
        #expect(Self.answered(&budget, 100) { _ in greedy } == ChallengeBudget.burstPerNetwork)
        #expect(Self.answered(&budget, 1) { _ in authority } == 1)
        for turn in 1...20 as ClosedRange<UInt64> {
            let got = Self.answered(&budget, 1000, at: turn) { _ in greedy }
            #expect(got <= ChallengeBudget.perNetwork)
            #expect(Self.answered(&budget, 1, at: turn) { _ in authority } == 1)
        }
    }

    @Test func allTogetherHaveTheirBound() {
        var budget = ChallengeBudget(now: 0)
        let got = Self.answered(&budget, 1000) { ClientNetwork(.v4(UInt32($0) << 8)) }
        #expect(got == ChallengeBudget.totalBurst)
    }
}
