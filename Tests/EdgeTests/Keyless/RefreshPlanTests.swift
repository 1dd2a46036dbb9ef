import Testing

@testable import Edge

@Suite struct RefreshPlanTests {
    @Test func laterWishesNeverPutAFetchOff() {
        var plan = RefreshPlan()
        plan.fetched(next: 60_000)
        #expect(plan.want(by: 250))
        // Every handshake of a busy site asks again.
        for now: Int64 in 1...1000 { #expect(!plan.want(by: now * 10 + 250)) }
        #expect(plan.due == 250)
    }

    @Test func aWishDuringAFetchIsKeptForAfterIt() {
        var plan = RefreshPlan()
        _ = plan.fired()
        #expect(!plan.want(by: 300))
        #expect(!plan.want(by: 500))
        plan.fetched(next: 60_000)
        #expect(plan.due == 300)
        plan.fetched(next: 60_000)
        #expect(plan.due == 60_000)
    }

    @Test func oneFetchAtATime() {
        var plan = RefreshPlan()
        #expect(plan.fired())
        #expect(!plan.fired())
        plan.fetched(next: 10)
        #expect(plan.fired())
    }
}
